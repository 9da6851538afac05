package providers

import "testing"

// A form for people is made of what each type's settings say of themselves.
func TestEverySettingTellsWhatItIsAbout(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, Options{TestHost: "http://localhost:9000"})
	for _, typ := range r.Names() {
		all := r.Settings(typ)
		if len(all) != len(r.types[typ].knows()) {
			t.Errorf("%s tells of %d settings, and knows %d", typ, len(all), len(r.types[typ].knows()))
		}
		for _, s := range all {
			if s.Label == "" || s.Help == "" || (s.Entry == EntryChoice) != (len(s.Choices) > 0) {
				t.Errorf("%s: config.%s tells %+v", typ, s.Name, s.About)
			}
		}
	}
	// What a setting gives as an example, or lets choose from, is taken.
	for _, typ := range r.types {
		for _, s := range typ.knows() {
			for _, choice := range append(s.about.Choices, s.about.Example) {
				if choice == "" || s.about.Entry != "" && s.about.Entry != EntryText && s.about.Entry != EntryChoice {
					continue
				}
				if wrong := s.check(r.allow, choice); wrong != "" {
					t.Errorf("%s: config.%s gives %q as an example, which %s", typ.Name, s.name, choice, wrong)
				}
			}
		}
	}
	if r.Settings("made up") != nil {
		t.Error("a type that does not exist has settings")
	}
}
