package commands

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/grantd/grantd/client"
)

// hostile are texts that a terminal would act on, or that would show something else than they are.
var hostile = []string{
	"\x1b]0;title\a", "\x1b[2J\x1b[H", "a\rb", "a\bb", "tab\there", "line\nbreak", "\u009b2J", "\x7f", "abc\u202edcba", "a\u2066b", "soft\u00adhyphen",
	"\U000e0041 tag", "\ufeff", "bad \xff utf-8", `back\slash "quoted"`, "Grüße 東京 👋", "trailing space ", "- item", "key: value", "null", "12", "yes", "",
}

func TestWhatATerminalWouldActOnIsEscaped(t *testing.T) {
	for _, text := range hostile {
		if shown := Plain(text, false); strings.ContainsFunc(shown, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q is shown as %q", text, shown)
		}
	}
	for text, want := range map[string]string{"\x1b[2J": `\u001b[2J`, "Grüße 東京": "Grüße 東京", "a\nb": `a\u000ab`, "\U000e0041": `\U000e0041`} {
		if got := Plain(text, false); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
	if got := Plain("a\nb\x1b", true); got != "a\nb\\u001b" {
		t.Errorf("with line breaks: %q", got)
	}
}

// Programs read back exactly what grantd said, and a terminal is safe all the same.
func TestJSONAndYAMLAreReadBackAsTheyWere(t *testing.T) {
	type thing struct {
		Texts []string       `json:"texts"`
		Map   map[string]any `json:"map"`
	}
	var want thing
	for i, text := range hostile {
		text = strings.ToValidUTF8(text, "\ufffd")
		want.Texts = append(want.Texts, text)
		if want.Map == nil {
			want.Map = map[string]any{}
		}
		want.Map[fmt.Sprintf("%d%s", i, text)] = text
	}
	for format, read := range map[string]func([]byte, any) error{"json": json.Unmarshal, "yaml": yaml.Unmarshal} {
		var out bytes.Buffer
		s := &Session{Surroundings: Surroundings{Out: &out}, Connection: &Connection{Output: format}}
		if err := s.show(want, table{}); err != nil {
			t.Fatal(err)
		}
		if i := strings.IndexFunc(out.String(), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); i >= 0 {
			t.Errorf("%s has %q", format, out.String()[i:])
		}
		var got thing
		if err := read(out.Bytes(), &got); err != nil {
			t.Fatalf("%s: %v\n%s", format, err, out.String())
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s is read back as\n%q, want\n%q", format, got, want)
		}
	}
}

func TestExitCodes(t *testing.T) {
	refused := func(status int) error { return fmt.Errorf("doing it: %w", &client.Error{Status: status}) }
	for code, errs := range map[int][]error{
		ExitOK:        {nil},
		ExitFailure:   {errors.New("x"), refused(409), refused(500), refused(302)},
		ExitUsage:     {usage("x"), refused(422), refused(400)},
		ExitSignedOut: {refused(401), refused(403)},
		ExitNotFound:  {refused(404)},
		ExitConsent:   {refused(410), &client.Error{Status: 200, Detail: "interaction_required", ConnectURL: "https://grantd.example.com/connect"}},
		ExitTryAgain:  {refused(429), refused(502), refused(503), &client.Error{Status: 504, Foreign: true}, fmt.Errorf("asking: %w", client.ErrUnavailable)},
	} {
		for _, err := range errs {
			if got := ExitCode(err); got != code {
				t.Errorf("%v ends with %d, want %d", err, got, code)
			}
		}
	}
	for i, e := range ExitCodes {
		if e.Code != i || !strings.HasSuffix(e.Meaning, ".") {
			t.Errorf("row %d of the exit codes is %v", i, e)
		}
	}
}
