package models

import (
	"fmt"
	"regexp"
	"strings"
)

// People whom an issuer identified are users named after it, "name:sub" (A5). The sub is percent-encoded, but for the
// characters that identities may have and the colon.
var (
	issuerName  = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)
	issuersUser = regexp.MustCompile(`^[a-z0-9-]{1,32}:([A-Za-z0-9._@+/:-]|%[0-9A-F]{2})+$`)
)

// maxIssuersUser is the length of the longest user of an issuer, in all.
const maxIssuersUser = 512

// ValidIssuerName reports whether s can name an issuer.
func ValidIssuerName(s string) bool { return issuerName.MatchString(s) }

// ValidUser reports whether s can be a user: one that the operator named, or one of an issuer.
func ValidUser(s string) bool {
	return ValidIdentity(s) || len(s) <= maxIssuersUser && issuersUser.MatchString(s)
}

// IssuersUser returns the user that an issuer's sub becomes, and false for a sub that is empty or too long: it is never
// cut, since then two people could become one.
func IssuersUser(issuer, sub string) (string, bool) {
	var user strings.Builder
	user.WriteString(issuer + ":")
	for _, b := range []byte(sub) {
		if plainInSub(b) {
			user.WriteByte(b)
		} else {
			fmt.Fprintf(&user, "%%%02X", b)
		}
	}
	return user.String(), sub != "" && user.Len() <= maxIssuersUser && ValidIssuerName(issuer)
}

func plainInSub(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || strings.IndexByte("._@+/-:", b) >= 0
}
