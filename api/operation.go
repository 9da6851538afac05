package api

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/grantd/grantd/models"
)

// operation is a row of routes.go.
type operation struct {
	method  string
	path    string
	status  int // of success
	id      string
	summary string
	errors  []int // beside those that every operation has
}

// handler is what a route does for a caller: one question to the broker, and
// its answer in the shape that is documented.
type handler[I, O any] func(ctx context.Context, c models.Caller, in *I) (*O, error)

// on mounts h below the root, for callers with a token.
func on[I, O any](s *Server, o operation, h handler[I, O]) {
	tag := o.path[:strings.Index(o.path, "/")]
	o.path = root + o.path
	guarded(s, o, tag, h)
}

// external mounts h of the external-auth API, for callers with a token.
func external[I, O any](s *Server, o operation, h handler[I, O]) {
	o.path = version2 + o.path
	guarded(s, o, "external-auth", h)
}

func guarded[I, O any](s *Server, o operation, tag string, h handler[I, O]) {
	described := o.describe()
	described.Path = o.path
	described.Security = []map[string][]string{{bearerScheme: {}}, {sessionScheme: {}}}
	described.Middlewares = huma.Middlewares{s.authenticate}
	if acting[o.id] {
		s.actsFor(&described)
	}
	if !neverRefused[o.id] {
		described.Middlewares = append(described.Middlewares, s.limit)
	}
	if strings.Contains(o.path, "{id}") {
		described.Middlewares = append(described.Middlewares, s.checkID)
	}
	described.Tags = []string{tag}
	described.Errors = append(described.Errors, http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusServiceUnavailable)
	mount(s, described, func(ctx context.Context, in *I) (*O, error) {
		return h(ctx, callOf(ctx).caller, in)
	})
}

// open mounts h for anyone: nothing of an organisation may be in its answer.
func open[I, O any](s *Server, o operation, h func(ctx context.Context, in *I) (*O, error)) {
	described := o.describe()
	described.Path = o.path
	described.Tags = []string{"service"}
	described.Security = []map[string][]string{}
	mount(s, described, h)
}

func (o operation) describe() huma.Operation {
	return huma.Operation{
		Method: o.method, DefaultStatus: o.status,
		OperationID: o.id, Summary: o.summary, Description: descriptions[o.id],
		Errors: append(slices.Clone(o.errors), http.StatusRequestEntityTooLarge),
		// Huma refuses a body that fills the limit.
		MaxBodyBytes: maxBody + 1,
		Metadata:     map[string]any{},
		Responses:    map[string]*huma.Response{},
	}
}

func mount[I, O any](s *Server, op huma.Operation, h func(ctx context.Context, in *I) (*O, error)) {
	huma.Register(s.huma, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := h(ctx, in)
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		return out, nil
	})
	path := s.huma.OpenAPI().Paths[op.Path]
	s.completeErrors(registered(path, op.Method), op.Metadata)
}

// registered finds the operation as Huma completed it.
func registered(p *huma.PathItem, method string) *huma.Operation {
	switch method {
	case http.MethodGet:
		return p.Get
	case http.MethodPost:
		return p.Post
	case http.MethodPatch:
		return p.Patch
	default:
		return p.Delete
	}
}

// completeErrors adds what a body brings along, and says what each status means.
func (s *Server) completeErrors(op *huma.Operation, metadata map[string]any) {
	if op.RequestBody != nil {
		s.completeBodyErrors(op, metadata)
	}
	op.Responses["default"] = &huma.Response{
		Description: "Every other answer that is not a success.",
		Content:     op.Responses[strconv.Itoa(http.StatusInternalServerError)].Content,
	}
	for _, code := range slices.Sorted(maps.Keys(op.Responses)) {
		status, err := strconv.Atoi(code)
		if err != nil || status < http.StatusBadRequest {
			continue
		}
		r := op.Responses[code]
		r.Description = meanings[status]
		r.Content = withErrorExample(r.Content, status)
		r.Headers = errorHeaders[status]
	}
}

func (s *Server) completeBodyErrors(op *huma.Operation, metadata map[string]any) {
	known := map[string]string{}
	collectKnown(s.huma.OpenAPI().Components.Schemas, op.RequestBody.Content["application/json"].Schema, "", known)
	metadata[knownFields] = known
	same := op.Responses[strconv.Itoa(http.StatusInternalServerError)].Content
	for _, status := range []int{http.StatusBadRequest, http.StatusRequestTimeout, http.StatusUnsupportedMediaType} {
		op.Responses[strconv.Itoa(status)] = &huma.Response{Content: same}
	}
}
