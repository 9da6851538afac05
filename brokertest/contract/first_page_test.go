package contract_test

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"

	"github.com/grantd/grantd/brokertest"
)

// The first page that an admin sees, with all that it loads, is small: at most 60 kB compressed.
func TestTheFirstPageIsSmall(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, nil)
	p := createID(t, h, nil)
	consent(t, h, h.User, p, "ada")
	s := admin(t, h)
	first := s.get("/console/")
	total := 0
	add := func(body string) {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write([]byte(body)); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		total += b.Len()
	}
	add(first.body)
	loaded := 0
	for _, m := range addresses.FindAllStringSubmatch(first.body, -1) {
		if !strings.HasPrefix(m[1], "/assets/") {
			continue
		}
		res, err := s.http.Get(h.URL + m[1])
		if err != nil {
			t.Fatal(err)
		}
		add(read(t, res))
		loaded++
	}
	t.Logf("the first page is %d bytes compressed, in %d answers", total, loaded+1)
	if loaded != 2 || total > 60_000 {
		t.Errorf("%d bytes in %d answers", total, loaded+1)
	}
}
