package brokertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Answer is what the API said.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// JSON decodes the body, for looking at what really went over the wire.
func (a Answer) JSON(t testing.TB) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(a.Body, &v); err != nil {
		t.Fatalf("the body is not a JSON object: %v: %.300s", err, a.Body)
	}
	return v
}

// Do sends a request as who and checks the answer against the OpenAPI document
// that the API serves. body is sent as JSON, a string as it is; nil sends none.
func (h *Instance) Do(t testing.TB, who Person, method, path string, body any) Answer {
	t.Helper()
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	default:
		encoded, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		r = bytes.NewReader(encoded)
	}
	req, err := http.NewRequest(method, h.URL+path, r)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if who.Token != "" {
		req.Header.Set("Authorization", "Bearer "+who.Token.Reveal())
	}
	return h.Send(t, req)
}

// Send sends a request as it is and checks the answer against the document.
func (h *Instance) Send(t testing.TB, req *http.Request) Answer {
	t.Helper()
	noRedirect := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := noRedirect.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL.Path, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := Answer{Status: res.StatusCode, Header: res.Header, Body: b}
	if err := h.documented(t).check(req.Method, req.URL.Path, a); err != nil {
		t.Errorf("%s %s answered %d, which the OpenAPI document does not allow: %v\n%.500s", req.Method, req.URL.Path, a.Status, err, b)
	}
	return a
}

// document is the OpenAPI document the API serves.
type document struct {
	mu       sync.Mutex // compiling a schema changes the compiler
	raw      map[string]any
	compiler *jsonschema.Compiler
}

// theDocument is read from the first instance of this process that is asked: all serve
// the same one, but for their address.
var theDocument struct {
	sync.Mutex
	*document
}

func (h *Instance) documented(t testing.TB) *document {
	t.Helper()
	theDocument.Lock()
	defer theDocument.Unlock()
	if theDocument.document == nil {
		res, err := http.Get(h.URL + "/api/v2/openapi.json")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		content, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		theDocument.document = readDocument(t, string(content))
	}
	return theDocument.document
}

func readDocument(t testing.TB, content string) *document {
	t.Helper()
	raw, err := jsonschema.UnmarshalJSON(strings.NewReader(content))
	if err != nil {
		t.Fatalf("the OpenAPI document is not JSON: %v", err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020) // the dialect of OpenAPI 3.1
	c.AssertFormat()
	if err := c.AddResource(documentURL, raw); err != nil {
		t.Fatal(err)
	}
	return &document{raw: raw.(map[string]any), compiler: c}
}

const documentURL = "https://grantd.test/openapi.json"

// check holds one answer against the document: the operation, the status, the
// content type and the schema of the body.
func (d *document) check(method, path string, a Answer) error {
	template, ok := d.find(path)
	if !ok {
		if a.Status == http.StatusNotFound {
			return nil // an unknown path is answered with 404, and documented nowhere
		}
		return fmt.Errorf("no path matches %s", path)
	}
	operation, ok := dig(d.raw, "paths", template, strings.ToLower(method))
	if !ok {
		if a.Status == http.StatusMethodNotAllowed {
			return nil
		}
		return fmt.Errorf("%s has no operation %s", template, method)
	}
	status := fmt.Sprint(a.Status)
	if _, ok := dig(operation, "responses", status); !ok {
		return fmt.Errorf("the status is not documented for %s %s", method, template)
	}
	pointer := []string{"paths", template, strings.ToLower(method), "responses", status}
	content, ok := dig(d.raw, append(pointer, "content")...)
	if !ok {
		if len(a.Body) > 0 {
			return fmt.Errorf("a body came where none is documented")
		}
		return nil
	}
	media, _, _ := strings.Cut(a.Header.Get("Content-Type"), ";")
	if _, ok := dig(content, media, "schema"); !ok {
		return fmt.Errorf("the content type %q is not documented", media)
	}
	return d.validate(append(pointer, "content", media, "schema"), asList(media, a.Body))
}

// asList makes of the two kinds of body that are no JSON, events and lines of JSON, the list that the document describes
// them as.
func asList(media string, body []byte) []byte {
	switch media {
	case "text/event-stream":
		return eventsOf(body)
	case "application/x-ndjson":
		return fmt.Appendf(nil, "[%s]", bytes.ReplaceAll(bytes.TrimSpace(body), []byte("\n"), []byte(",")))
	}
	return body
}

// eventsOf makes of a stream of server-sent events the JSON list that the document
// describes it as.
func eventsOf(stream []byte) []byte {
	events := []map[string]any{}
	for block := range strings.SplitSeq(string(stream), "\n\n") {
		event := map[string]any{}
		for line := range strings.Lines(block) {
			name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			switch {
			case !ok || name == "": // a comment
			case name == "data":
				event[name] = json.RawMessage(value)
			default:
				event[name] = value
			}
		}
		if len(event) > 0 {
			events = append(events, event)
		}
	}
	list, err := json.Marshal(events)
	if err != nil {
		return stream // the data is not JSON, which will be said
	}
	return list
}

// find returns the path template with the fewest parameters that fits the path.
// Every path is served with and without its trailing slash.
func (d *document) find(path string) (string, bool) {
	if path == "/external-auth" || strings.HasPrefix(path, "/external-auth/") { // works without its version too
		path = "/api/v2" + path
	}
	paths, _ := dig(d.raw, "paths")
	best, fewest := "", 99
	for template := range paths {
		want, have := strings.Split(strings.Trim(template, "/"), "/"), strings.Split(strings.Trim(path, "/"), "/")
		if len(want) != len(have) {
			continue
		}
		parameters := 0
		for i := range want {
			if strings.HasPrefix(want[i], "{") {
				parameters++
			} else if want[i] != have[i] {
				parameters = 99
			}
		}
		if parameters < fewest {
			best, fewest = template, parameters
		}
	}
	return best, best != ""
}

func (d *document) validate(pointer []string, body []byte) error {
	escaped := make([]string, len(pointer))
	for i, p := range pointer {
		escaped[i] = strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(p)
	}
	d.mu.Lock()
	schema, err := d.compiler.Compile(documentURL + "#/" + strings.Join(escaped, "/"))
	d.mu.Unlock()
	if err != nil {
		return fmt.Errorf("its schema: %w", err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("the body is not JSON: %w", err)
	}
	return schema.Validate(v)
}

func dig(v any, keys ...string) (map[string]any, bool) {
	for _, k := range keys {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = m[k]; !ok {
			return nil, false
		}
	}
	m, ok := v.(map[string]any)
	return m, ok
}

// Documented returns what of an answer, which may be that of a server other than the instance, the OpenAPI document does not
// allow.
func (h *Instance) Documented(t testing.TB, method, path string, a Answer) error {
	t.Helper()
	return h.documented(t).check(method, path, a)
}
