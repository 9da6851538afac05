package models

import (
	"bytes"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"strings"
)

// Strings is a list of strings kept as JSON in one column. An empty list encodes
// as [], never as null: clients iterate over it unasked.
type Strings []string

// Value implements driver.Valuer.
func (s Strings) Value() (driver.Value, error) { return jsonValue(s) }

// Scan implements sql.Scanner.
func (s *Strings) Scan(src any) error {
	if encoded, ok := src.([]byte); ok {
		if list, plain := plainList(encoded); plain {
			*s = list
			return nil
		}
	}
	return scanJSON(src, (*[]string)(s))
}

// plainList reads a list of strings as MarshalJSON writes it, if JSON escapes nothing in them:
// hardly any has that, and each token that is handed out has such lists. It reports whether that was so.
func plainList(encoded []byte) (list []string, plain bool) {
	inner, begins := bytes.CutPrefix(encoded, []byte(`["`))
	inner, ends := bytes.CutSuffix(inner, []byte(`"]`))
	if !begins || !ends || bytes.IndexByte(inner, '\\') >= 0 {
		return nil, false
	}
	parts := strings.Split(string(inner), `"`)
	list = parts[:0]
	for i, part := range parts {
		switch {
		case i%2 == 0:
			list = append(list, part)
		case part != "," && part != ", ": // as PostgreSQL writes it
			return nil, false
		}
	}
	return list, true
}

// MarshalJSON implements json.Marshaler.
func (s Strings) MarshalJSON() ([]byte, error) {
	if len(s) == 0 {
		return []byte("[]"), nil
	}
	return json.Marshal([]string(s))
}

// Settings is an object kept as JSON in one column. An empty one encodes as {}.
type Settings map[string]any

// Value implements driver.Valuer.
func (s Settings) Value() (driver.Value, error) { return jsonValue(s) }

// Scan implements sql.Scanner.
func (s *Settings) Scan(src any) error { return scanJSON(src, (*map[string]any)(s)) }

// MarshalJSON implements json.Marshaler.
func (s Settings) MarshalJSON() ([]byte, error) {
	if len(s) == 0 {
		return []byte("{}"), nil
	}
	return json.Marshal(map[string]any(s))
}

// Details is a job's list of details, kept as JSON in one column.
type Details []Detail

// Value implements driver.Valuer.
func (d Details) Value() (driver.Value, error) { return jsonValue(d) }

// Scan implements sql.Scanner.
func (d *Details) Scan(src any) error { return scanJSON(src, (*[]Detail)(d)) }

// MarshalJSON implements json.Marshaler.
func (d Details) MarshalJSON() ([]byte, error) {
	if len(d) == 0 {
		return []byte("[]"), nil
	}
	return json.Marshal([]Detail(d))
}

func jsonValue(v json.Marshaler) (driver.Value, error) {
	b, err := v.MarshalJSON()
	return string(b), err
}

func scanJSON(src, dst any) error {
	var encoded []byte
	switch v := src.(type) {
	case nil:
	case []byte:
		encoded = v
	case string:
		encoded = []byte(v)
	default:
		return fmt.Errorf("scanning JSON from %T", src)
	}
	if len(encoded) <= len("[]") { // nothing, or an empty list or object: the most common values
		return nil
	}
	return json.Unmarshal(encoded, dst)
}
