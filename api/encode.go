package api

import (
	"bytes"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/grantd/grantd/models"
)

// encoder appends JSON, to the byte as Huma would have encoding/json write it; what
// is not plain it leaves to that.
type encoder struct {
	to  []byte
	err error // the first
}

// key is for the names of our own fields, which need no escaping.
func (e *encoder) key(name string) {
	if len(e.to) > 0 && e.to[len(e.to)-1] != '{' {
		e.to = append(e.to, ',')
	}
	e.quote(name)
	e.to = append(e.to, ':')
}

func (e *encoder) open()  { e.to = append(e.to, '{') }
func (e *encoder) close() { e.to = append(e.to, '}') }
func (e *encoder) null()  { e.to = append(e.to, "null"...) }

func (e *encoder) quote(s string) {
	e.to = append(e.to, '"')
	e.to = append(e.to, s...)
	e.to = append(e.to, '"')
}

func (e *encoder) text(name, value string) {
	e.key(name)
	if plain(value) {
		e.quote(value)
		return
	}
	var out bytes.Buffer // as Huma does it: what could be HTML stays as it is
	err := huma.DefaultJSONFormat.Marshal(&out, value)
	e.encoded(bytes.TrimSuffix(out.Bytes(), []byte("\n")), err)
}

func (e *encoder) bool(name string, value bool) {
	e.key(name)
	if value {
		e.to = append(e.to, "true"...)
	} else {
		e.to = append(e.to, "false"...)
	}
}

func (e *encoder) number(name string, value int) {
	e.key(name)
	e.to = strconv.AppendInt(e.to, int64(value), 10)
}

func (e *encoder) time(name string, value time.Time) {
	e.key(name)
	to, err := value.AppendText(append(e.to, '"'))
	if err != nil { // a year that RFC 3339 cannot say
		e.encoded(nil, err)
		return
	}
	e.to = append(to, '"')
}

// timeIfAny leaves out what is not known.
func (e *encoder) timeIfAny(name string, value *time.Time) {
	if value != nil {
		e.time(name, *value)
	}
}

func (e *encoder) strings(name string, values models.Strings) {
	e.key(name)
	for _, v := range values {
		if !plain(v) {
			e.encoded(values.MarshalJSON())
			return
		}
	}
	e.to = append(e.to, '[')
	for i, v := range values {
		if i > 0 {
			e.to = append(e.to, ',')
		}
		e.quote(v)
	}
	e.to = append(e.to, ']')
}

func (e *encoder) settings(name string, values models.Settings) {
	e.key(name)
	e.encoded(values.MarshalJSON())
}

func (e *encoder) encoded(json []byte, err error) {
	if err != nil && e.err == nil {
		e.err = err
	}
	e.to = append(e.to, json...)
}

// plain reports whether JSON has s as it is: ASCII without quotes, backslashes,
// control characters, and what could be HTML, which lists escape and texts do not.
func plain(s string) bool {
	for i := range len(s) {
		switch b := s[i]; {
		case b < ' ', b > '~', b == '"', b == '\\', b == '<', b == '>', b == '&':
			return false
		}
	}
	return true
}
