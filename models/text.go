package models

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// What text from outside has to be before it may reach SQL (T3). PostgreSQL refuses
// NUL and what is not UTF-8, and SQLite takes both: so that the two answer alike, the
// edges (requests, and answers of upstreams) make text fit with these.

// Storable replaces what a database refuses by a character that no stored text has,
// so that such a text matches nothing.
func Storable(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
}

// IsStorable reports whether every database can store s.
func IsStorable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsRune(s, 0)
}

// maxID is longer than any id that is made here.
const maxID = 128

// ValidID reports whether s can be an id: 1 to 128 of A-Z a-z 0-9 _ -.
func ValidID(s string) bool {
	return s != "" && len(s) <= maxID && !strings.ContainsFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_')
	})
}

// ValidPort reports whether s is a port as it is written in addresses: 1 to 65535,
// without leading zeros.
func ValidPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n != 0 && s[0] != '0' && s[0] != '+'
}

// Unprintable returns where a text has its first character beyond printable ASCII,
// counted from 1, or 0. A space at the beginning or the end counts as one too: it was
// pasted along and cannot be seen.
func Unprintable(s string) int {
	at := 0
	for _, r := range s {
		at++
		if r < ' ' || r > '~' || r == ' ' && at == 1 {
			return at
		}
	}
	if strings.HasSuffix(s, " ") {
		return at
	}
	return 0
}
