package models

import (
	"encoding/json"
	"slices"
	"testing"
)

// TestListsAreReadAsEncodingJSONWould: also as PostgreSQL writes them, with space after the commas.
func TestListsAreReadAsEncodingJSONWould(t *testing.T) {
	texts := []string{"", "repo", "read:user", ",", ", ", `a"b`, `a\b`, "Zoë 日本", "<&>", "\u2028", "\n", "[]", `","`}
	for _, a := range texts {
		for _, b := range texts {
			plain, err := Strings{a, b}.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			first, err := json.Marshal(a)
			if err != nil {
				t.Fatal(err)
			}
			spaced := slices.Concat([]byte("["), first, []byte(", "), plain[len("[,")+len(first):])
			for _, encoded := range [][]byte{plain, spaced, slices.Concat([]byte("["), first, []byte("]")), []byte("[]"), []byte("null"), nil} {
				var want []string
				if len(encoded) > 0 {
					if err := json.Unmarshal(encoded, &want); err != nil {
						t.Fatal(err)
					}
				}
				var got Strings
				if err := got.Scan(encoded); err != nil || !slices.Equal(got, want) {
					t.Errorf("%s is read as %q, %v; want %q", encoded, got, err, want)
				}
			}
		}
	}
	for _, wrong := range []string{`["a"`, `["a""b"]`, `["a" "b"]`, `["a",,"b"]`, `["a",1]`, `["a"; "b"]`, `{"a":"b"}`, `["]`} {
		if got := (Strings{}); got.Scan([]byte(wrong)) == nil {
			t.Errorf("%s is read as %q", wrong, got)
		}
	}
}
