package store

import (
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/grantd/grantd/models"
)

// Position is a place in a list ordered by creation, and which way to go from it.
type Position struct {
	CreatedAt time.Time
	ID        string
	Back      bool
}

// String encodes the position as an opaque, URL-safe cursor.
func (p Position) String() string {
	way := "+"
	if p.Back {
		way = "-"
	}
	return base64.RawURLEncoding.EncodeToString([]byte(way + p.CreatedAt.UTC().Format(time.RFC3339Nano) + " " + p.ID))
}

// ParsePosition decodes what String made.
func ParsePosition(cursor string) (Position, error) {
	bad := errors.New("not a cursor")
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return Position{}, bad
	}
	at, id, ok := strings.Cut(string(raw), " ")
	if !ok || !models.ValidID(id) || len(at) == 0 || at[0] != '+' && at[0] != '-' {
		return Position{}, bad
	}
	created, err := time.Parse(time.RFC3339Nano, at[1:])
	if err != nil {
		return Position{}, bad
	}
	return Position{CreatedAt: created.UTC(), ID: id, Back: at[0] == '-'}, nil
}
