// Package api is the HTTP edge: Echo routes, Huma decodes, validates and
// documents. A handler says what is asked of the broker and how the answer
// looks; every rule lives in the broker.
//
// A request passes, in this order: the slash (slash.go), the observer (id,
// panics, log, metrics: observe.go), Echo's router, the caller (auth.go), the
// shape of the id, Huma's validation (validation.go), the handler. Whatever goes
// wrong on the way ends as the one body in errors.go. What people see in a browser
// is package pages.
package api
