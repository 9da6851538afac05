package providers

import (
	"strings"
	"testing"
)

func TestS3_BudgetsAreData(t *testing.T) {
	t.Parallel()
	r, err := New(Options{TestHost: "http://127.0.0.1:1", Allow: []string{"git.example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		client Client
		want   Budget
	}{
		{"what GitHub documents", Client{Type: "github"}, Budget{5000, 2000}},
		{"GitHub with data residency", Client{Type: "github", Host: "octo.ghe.com"}, Budget{5000, 2000}},
		{"an Enterprise Server has its own limits, or none", Client{Type: "github", Host: "git.example.com"}, Budget{}},
		{"no figure is known", Client{Type: "test"}, Budget{}},
		{"an admin knows better", Client{Type: "github", Config: map[string]any{"callsPerHour": 15000.0}}, Budget{15000, 2000}},
		{"two calls revoke one pair by RFC 7009", Client{Type: "test", Config: map[string]any{"callsPerHour": 100}}, Budget{50, 0}},
		{"the token endpoint alone", Client{Type: "test", Config: map[string]any{"tokenCallsPerHour": 7}}, Budget{0, 7}},
	} {
		if got := r.At(c.client).Budget(); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestS3_BudgetsArePositiveWholeNumbers(t *testing.T) {
	t.Parallel()
	r, err := New(Options{TestHost: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []any{0.0, -1.0, 1.5, 1e12, "5000", true, nil} {
		for _, key := range []string{"callsPerHour", "tokenCallsPerHour"} {
			wrong := r.At(Client{Type: "test", ID: "id", Config: map[string]any{key: bad}}).Validate()
			if len(wrong) != 1 || wrong[0].Name != "config."+key || !strings.Contains(wrong[0].Message, "whole number") {
				t.Errorf("%s %v: %v", key, bad, wrong)
			}
		}
	}
	if wrong := r.At(Client{Type: "test", ID: "id", Config: map[string]any{"callsPerHour": 5000.0}}).Validate(); len(wrong) > 0 {
		t.Errorf("5000 is refused: %v", wrong)
	}
}
