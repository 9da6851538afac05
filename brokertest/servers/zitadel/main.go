// The example server of github.com/zitadel/oidc on a loopback port, for tests: the library's own handlers and pages on
// its own example storage, with routes below /test/ to look inside.
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"os"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
)

func main() {
	address, redirectURI := os.Getenv("ADDRESS"), os.Getenv("REDIRECT_URI")
	storage.RegisterClients(
		storage.WebClient(os.Getenv("CLIENT_ID"), os.Getenv("CLIENT_SECRET"), redirectURI),
		storage.NativeClient(os.Getenv("PUBLIC_CLIENT_ID"), redirectURI),
	)
	store := newLedger()
	router := exampleop.SetupServer("http://"+address, store, nil, false)
	router.Get("/test/living", func(w http.ResponseWriter, r *http.Request) {
		refresh, access := store.living(r.Context())
		_ = json.NewEncoder(w).Encode(map[string]int{"refresh": refresh, "access": access})
	})
	router.Get("/test/expire", func(w http.ResponseWriter, r *http.Request) {
		store.expire(r.Context(), r.URL.Query().Get("person"))
	})
	log.Fatal(http.ListenAndServe(address, router))
}
