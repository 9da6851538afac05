package models_test

import (
	"strings"
	"testing"

	"github.com/grantd/grantd/models"
)

func TestT3_TextIsMadeStorable(t *testing.T) {
	for given, want := range map[string]string{
		"":              "",
		"plain":         "plain",
		"Zoë 日本":        "Zoë 日本",
		"a\x00b":        "a\uFFFDb",
		"a\xffb":        "a\uFFFDb",
		"\xed\xa0\x80":  "\uFFFD",
		"tab\tand\nend": "tab\tand\nend",
	} {
		if got := models.Storable(given); got != want || !models.IsStorable(got) {
			t.Errorf("%q becomes %q, want %q", given, got, want)
		}
		if got := models.IsStorable(given); got != (given == want) {
			t.Errorf("%q is storable: %t", given, got)
		}
	}
}

func TestT3_IDsAndPorts(t *testing.T) {
	for _, id := range []string{"a", "0197f0a0-0000-7000-8000-000000000000", "A_z-9", strings.Repeat("x", 128)} {
		if !models.ValidID(id) {
			t.Errorf("%q is no id", id)
		}
	}
	for _, id := range []string{"", "a b", "a\x00", "\xff", "a.b", "a/b", "é", strings.Repeat("x", 129)} {
		if models.ValidID(id) {
			t.Errorf("%q is an id", id)
		}
	}
	for port, want := range map[string]bool{"1": true, "80": true, "65535": true, "": false, "0": false, "65536": false, "99999": false,
		"080": false, "+80": false, "-1": false, " 80": false, "http": false, "8_0": false} {
		if got := models.ValidPort(port); got != want {
			t.Errorf("port %q: %t", port, got)
		}
	}
}

func TestUnprintableSaysWhere(t *testing.T) {
	for given, want := range map[string]int{"": 0, "abc": 0, "a b": 0, "~!": 0, " abc": 1, "abc ": 4, " ": 1, "ab\u00a0": 3, "\u00a0ab": 1,
		"a\nb": 2, "abc\r\n": 4, "é": 1, "ab\x00": 3, "\u200bab": 1, "ab\xff": 3} {
		if got := models.Unprintable(given); got != want {
			t.Errorf("%q: %d, want %d", given, got, want)
		}
	}
}
