package commands

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Plain makes text fit for a terminal: names, messages and descriptions come from upstreams and from other people, and
// an escape sequence among them could hide or rewrite what a terminal shows. Everything that is not printable, such as
// control characters and marks that change the direction of text, is written as an escape like \u001b. Line breaks stay
// where lines is true.
func Plain(text string, lines bool) string {
	shown := func(r rune) bool { return unicode.IsPrint(r) || lines && r == '\n' }
	return escape(text, shown, long)
}

// escape writes every character that is not shown as \u and four digits. Those that need more digits are for wide.
func escape(text string, shown func(rune) bool, wide func(rune) string) string {
	if utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !shown(r) }) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case shown(r):
			b.WriteRune(r)
		case r > 0xffff:
			b.WriteString(wide(r))
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// long is how YAML writes a character of more than four digits.
func long(r rune) string { return fmt.Sprintf(`\U%08x`, r) }

// pair is how JSON does.
func pair(r rune) string {
	high, low := utf16.EncodeRune(r)
	return fmt.Sprintf(`\u%04x\u%04x`, high, low)
}
