// Package console is what an organisation's admins see in a browser: what does not work now, their providers and the jobs
// about them. It is a part of the HTTP edge, beside the pages for people (package pages), whose sessions, forms and
// layout it is handed as a Frame.
//
// The console has no rule of its own. Each page and each form asks the broker, as the API does, and what an admin does here
// the API does too. Pages are HTML that works without JavaScript. One rule is about who is at the keyboard: what cannot be
// undone needs a recent sign-in (lasting in console.go).
package console
