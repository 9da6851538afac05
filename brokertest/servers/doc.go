// Package servers runs authorization servers that others wrote, so that grantd is tested against what real servers do and not to
// our reading of the standards: Glewlwyd and Django OAuth Toolkit from Debian's packages, the example server of
// zitadel/oidc, which is built here, and npm's oidc-provider (package oidcprovider).
//
// Each runs for one test, without privileges and on data of its own in a temporary folder, and ends with the process that
// started it. Where a server is not installed the test is skipped, or fails if GRANTD_TEST_REQUIRE_SERVICES is 1.
//
// The scenario in the tests is played against all of them.
package servers
