package broker

import (
	"encoding/json"
	"testing"
)

// What is sealed as JSON is read by hand where it can be, and must come out as
// encoding/json would read it.
func TestPairsAreReadAsEncodingJSONWould(t *testing.T) {
	texts := []string{"", "gho_16C7e42F292c6912E7710c838347Ae178B4a", `a"b`, `a\b`, `"}`, `","r":"`, "Zoë 日本", "<&>", "\u2028", "\xff\x00\n"}
	for _, access := range texts {
		for _, refresh := range texts {
			plain, err := json.Marshal(pair{access, refresh})
			if err != nil {
				t.Fatal(err)
			}
			var want pair
			if err := json.Unmarshal(plain, &want); err != nil {
				t.Fatal(err)
			}
			if got, ok := readPair(string(plain)); ok && got != want {
				t.Errorf("%s is read as %q, want %q", plain, got, want)
			}
		}
	}
	if got, ok := readPair(`{"a":"tia_A","r":"tir_B"}`); !ok || got != (pair{"tia_A", "tir_B"}) {
		t.Errorf("a plain pair is read as %q, %t", got, ok)
	}
	if got, ok := readPair(`{"a":"tia_A"}`); !ok || got != (pair{Access: "tia_A"}) {
		t.Errorf("a token alone is read as %q, %t", got, ok)
	}
	for _, strange := range []string{``, `{}`, `{"a":"`, `{"a":"x"`, `{"a":"x","r":"y"`, `{"a":"x","r":"y"},`, `{"a":"x","z":"y"}`, `{"r":"y"}`, `{"a": "x"}`} {
		if got, ok := readPair(strange); ok {
			t.Errorf("%q is taken for a pair: %q", strange, got)
		}
	}
}
