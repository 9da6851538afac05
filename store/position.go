package store

import (
	"encoding/base64"
	"errors"
	"strings"
	"time"
)

// Position is a place in a list ordered by creation.
type Position struct {
	CreatedAt time.Time
	ID        string
}

// String encodes the position as an opaque, URL-safe cursor.
func (p Position) String() string {
	return base64.RawURLEncoding.EncodeToString([]byte(p.CreatedAt.UTC().Format(time.RFC3339Nano) + " " + p.ID))
}

// ParsePosition decodes what String made.
func ParsePosition(cursor string) (Position, error) {
	bad := errors.New("not a cursor")
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return Position{}, bad
	}
	at, id, ok := strings.Cut(string(raw), " ")
	created, err := time.Parse(time.RFC3339Nano, at)
	if !ok || err != nil || id == "" {
		return Position{}, bad
	}
	return Position{CreatedAt: created.UTC(), ID: id}, nil
}
