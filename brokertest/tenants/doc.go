// Package tenants holds tests with two organisations, one of them hostile: what one does
// must not change what the other sees (T1). Every piece of state that organisations
// share has a row in shared_test.go, and a new one without a row fails.
package tenants
