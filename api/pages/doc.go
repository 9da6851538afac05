// Package pages is everything that a person sees in a browser: sign-in, connecting an account, their connections, the page where a consent
// returns to, and the API's documentation. It is a part of the HTTP edge: package api mounts it beside the JSON surface,
// with which it shares how errors are worded and what the access log says.
//
// Pages are HTML that works without JavaScript. A request passes a session (sessions.go), and if it is a form a check
// that one of our own pages sent it (forms.go); the handler asks the broker, and show.go renders a template.
package pages
