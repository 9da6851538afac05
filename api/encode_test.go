package api

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/grantd/grantd/models"
)

// awkward are texts that JSON has in another form, or nearly.
var awkward = []string{"", "plain", `quote " and \ backslash`, "<script>&amp;</script>", "line\nfeed\ttab\x00nul\x1funit\x7fdel",
	"separators \u2028 \u2029", "Zoë, 日本, 😀", "invalid \xff\xfe utf-8 \xc3", "\xed\xa0\x80 surrogate", "/slash/", "~{}[],:"}

var moments = []time.Time{
	{}, time.Unix(0, 0).UTC(), time.Date(2026, 11, 22, 4, 55, 24, 123456000, time.UTC), time.Date(2026, 1, 1, 0, 0, 0, 1, time.UTC),
	time.Date(2026, 7, 1, 12, 0, 0, 0, time.FixedZone("", 2*60*60+30*60)), time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC),
}

// same fails unless we write what Huma's own encoder would.
func same(t *testing.T, v interface{ json() ([]byte, error) }) {
	t.Helper()
	var want bytes.Buffer
	wantErr := huma.DefaultJSONFormat.Marshal(&want, v)
	got, err := v.json()
	if (wantErr == nil) != (err == nil) {
		t.Fatalf("we say %v, encoding/json %v", err, wantErr)
	}
	if wantErr == nil && !bytes.Equal(want.Bytes(), got) {
		t.Fatalf("we write\n%s\nencoding/json\n%s", got, want.Bytes())
	}
}

func TestTheTokenIsWrittenAsEncodingJSONWould(t *testing.T) {
	for _, text := range awkward {
		for _, moment := range moments {
			same(t, filled(func() string { return text }, func() time.Time { return moment }))
		}
		for _, seconds := range []int{0, 1, 3600} {
			same(t, ExchangeAnswer{AccessToken: text, IssuedTokenType: typeAccessToken, TokenType: "Bearer", ExpiresIn: seconds, Scope: text})
		}
	}
}

func TestTheTokenIsWrittenAsEncodingJSONWouldWhatever(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		v := filled(
			func() string { return awkward[r.IntN(len(awkward))] + awkward[r.IntN(len(awkward))] },
			func() time.Time { return moments[r.IntN(len(moments))] })
		for _, missing := range []func(){
			func() { v.ExpiresAt = nil },
			func() { v.Authorization.RefreshTokenExpiresAt = nil },
			func() { v.Authorization.Provider.Scopes = nil },
			func() { v.Authorization.Provider.RedirectURIs = models.Strings{} },
			func() { v.Authorization.Provider.Config = nil },
			func() { v.Authorization.Provider.SkipConsent = false },
		} {
			if r.IntN(2) == 0 {
				missing()
			}
		}
		same(t, v)
	}
}

func TestTheTokenIsWrittenAsEncodingJSONWouldWithNothing(t *testing.T) {
	same(t, &Token{})
	same(t, &Token{Authorization: &models.Authorization{}})
	same(t, &Token{Authorization: &models.Authorization{Provider: &models.Provider{Config: models.Settings{}}}})
	year := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) // cannot be said, by either
	same(t, &Token{ExpiresAt: &year})
}

// filled sets every field, whatever it is called: one that is added to the models,
// and forgotten in the encoder, is missing in what it writes.
func filled(text func() string, moment func() time.Time) *Token {
	var fill func(v reflect.Value)
	fill = func(v reflect.Value) {
		switch x := v.Addr().Interface().(type) {
		case *time.Time:
			*x = moment()
			return
		case *models.Strings:
			*x = models.Strings{text(), "b", text()}
			return
		case *models.Settings:
			*x = models.Settings{text(): text(), "number": 1.5, "list": []any{text(), nil, true}}
			return
		}
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				fill(v.Field(i))
			}
		case reflect.Pointer:
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem())
		case reflect.String:
			v.SetString(text())
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Int, reflect.Int64:
			v.SetInt(7)
		default:
			panic(fmt.Sprintf("the test does not know how to fill a %s", v.Type()))
		}
	}
	t := new(Token)
	fill(reflect.ValueOf(t).Elem())
	return t
}
