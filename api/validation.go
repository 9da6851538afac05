package api

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"github.com/grantd/grantd/models"
)

// What Huma says is made ours once, for the whole process: it offers no other
// place. The messages say what would be right instead of what was expected.
func init() {
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
		return humaError(&call{}, &huma.Operation{}, status, msg, errs)
	}
	huma.NewErrorWithContext = func(ctx huma.Context, status int, msg string, errs ...error) huma.StatusError {
		return humaError(callOf(ctx.Context()), ctx.Operation(), status, msg, errs)
	}
	huma.DefaultArrayNullable = false
	// encoding/json would take "NAME" for "name"; we name it as unknown.
	huma.ValidateStrictCasing = true

	validation.MsgUnexpectedProperty = unknownField
	validation.MsgExpectedRequiredProperty = requiredField + "%s"
	validation.MsgExpectedString = "must be a string"
	validation.MsgExpectedBoolean = "must be true or false"
	validation.MsgExpectedInteger = "must be a whole number"
	validation.MsgExpectedNumber = "must be a number"
	validation.MsgExpectedArray = "must be a list"
	validation.MsgExpectedObject = "must be an object"
	validation.MsgExpectedOneOf = "must be one of: %s"
	validation.MsgExpectedMinimumNumber = "must be at least %v"
	validation.MsgExpectedMaximumNumber = "must be at most %v"
	validation.MsgExpectedMinLength = "must have at least %d characters"
	validation.MsgExpectedMaxLength = "must have at most %d characters"
}

const (
	unknownField  = "unknown field"
	requiredField = "required: "
	knownFields   = "knownFields" // key in an operation's metadata

	maxFieldErrors   = 20 // in one answer
	maxFieldNameSize = 64
)

// rephrased holds what Huma says in words that cannot be set.
var rephrased = map[string]string{
	"invalid integer": "must be a whole number",
	"invalid boolean": "must be true or false",
}

// humaError answers what Huma found wrong before a handler was reached. It reads
// the message and the place of an ErrorDetail, never its Value: that is the
// whole body, secrets included.
func humaError(k *call, op *huma.Operation, status int, msg string, errs []error) *Error {
	if status == http.StatusInternalServerError && msg == "cannot read request body" {
		status = http.StatusBadRequest // the client's connection broke
	}
	e := plainError(k, status)
	switch {
	case status == http.StatusBadRequest && msg == "request body is required":
		e.Message = "The request needs a body: a JSON object."
	case status == http.StatusBadRequest && len(errs) > 0:
		e.Message = "The body is not valid JSON."
	case status == http.StatusUnprocessableEntity:
		invalid := models.Invalid(fieldErrors(op, errs)...)
		e.Message = invalid.Message
		e.setFields(invalid.Fields)
	}
	return e
}

func fieldErrors(op *huma.Operation, errs []error) []models.FieldError {
	var fields []models.FieldError
	for _, err := range errs {
		var d *huma.ErrorDetail
		if errors.As(err, &d) {
			fields = append(fields, fieldError(op, d))
		}
	}
	slices.SortStableFunc(fields, func(a, b models.FieldError) int { return cmp.Compare(a.Name, b.Name) })
	return fields[:min(len(fields), maxFieldErrors)]
}

// fieldError strips "body." and "query.". A missing property is found in the
// message, because Huma places the error at the object around it.
func fieldError(op *huma.Operation, d *huma.ErrorDetail) models.FieldError {
	place, name, _ := strings.Cut(d.Location, ".")
	message := d.Message
	if better, ok := rephrased[message]; ok {
		message = better
	}
	if missing, ok := strings.CutPrefix(message, requiredField); ok {
		name = strings.TrimPrefix(name+"."+missing, ".")
		message = "is required"
	}
	if message == unknownField {
		message += "; known are " + knownBeside(op, name)
	}
	return models.FieldError{Name: shorten(cmp.Or(name, place)), Message: message}
}

func shorten(name string) string {
	if len(name) <= maxFieldNameSize {
		return name
	}
	return strings.ToValidUTF8(name[:maxFieldNameSize], "") + "…"
}

// knownBeside lists the fields of the object that the unknown one is in: the
// deepest object of the body whose name the field's begins with.
func knownBeside(op *huma.Operation, name string) string {
	objects, _ := op.Metadata[knownFields].(map[string]string)
	best := ""
	for object := range objects {
		if len(object) > len(best) && strings.HasPrefix(name, object+".") {
			best = object
		}
	}
	return objects[best]
}

// collectKnown lists the fields of each object in a body, by the object's name.
func collectKnown(r huma.Registry, schema *huma.Schema, name string, into map[string]string) {
	for schema.Ref != "" {
		schema = r.SchemaFromRef(schema.Ref)
	}
	var fields []string
	for field, inner := range schema.Properties {
		fields = append(fields, field)
		collectKnown(r, inner, strings.TrimPrefix(name+"."+field, "."), into)
	}
	if len(fields) > 0 {
		slices.Sort(fields)
		into[name] = strings.Join(fields, ", ")
	}
}

// decode does not say what is wrong with the JSON, because encoding/json quotes
// it. Nor does it take what is not UTF-8: encoding/json would change a secret
// without a word.
func decode(data []byte, v any) error {
	if !utf8.Valid(data) || json.Unmarshal(data, v) != nil {
		return errors.New("not valid JSON")
	}
	return nil
}
