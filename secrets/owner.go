package secrets

import "encoding/binary"

// The parts of a flow that are sealed apart from each other.
const (
	FlowRequest = "request" // the PKCE verifier and the nonce
	FlowTokens  = "tokens"  // what the code was exchanged for
)

// Owner is to whom a sealed value belongs. It travels beside the ciphertext as
// associated data and is stored nowhere: code that opens the value must know it. It is made
// of values that never change, since a change would lock the value for good.
type Owner struct{ data []byte }

// CredentialOwner owns the tokens of one authorization.
func CredentialOwner(id, authorization, org, user, provider string) Owner {
	return owner("credential", id, authorization, org, user, provider)
}

// SecretOwner owns a provider's client secret. The client id and every endpoint
// belong to it, so that a secret cannot be sent to another place by editing the
// provider's row. The order counts: hand them in as the type lists them.
func SecretOwner(id, provider, org, typ, clientID string, endpoints []string) Owner {
	return withPlaces(ownerOf("v2", "secret", id, provider, org, typ, clientID), endpoints)
}

// SecretOwnerV1 is the owner of secrets that were sealed before there was the second
// version: only the origins of the endpoints belong to it.
func SecretOwnerV1(id, provider, org, typ, clientID string, origins []string) Owner {
	return withPlaces(owner("secret", id, provider, org, typ, clientID), origins)
}

func withPlaces(o Owner, places []string) Owner {
	return Owner{data: appendAll(appendLen(o.data, len(places)), places)}
}

// SupersededOwner owns a pair of tokens that is kept without a provider, until the
// last authorization of its grant goes.
func SupersededOwner(id, org, grantKey string) Owner {
	return owner("superseded", id, org, grantKey)
}

// FlowOwner owns one part of a flow: FlowRequest or FlowTokens.
func FlowOwner(id, part, org, user, provider string) Owner {
	return owner("flow", id, part, org, user, provider)
}

// WebhookOwner owns the keys that sign what is sent to a webhook.
func WebhookOwner(id, org string) Owner { return owner("webhook", id, org) }

// SignInOwner owns what a browser keeps while a person is at the issuer to sign in.
func SignInOwner(name, issuer, clientID string) Owner {
	return owner("sign-in", name, issuer, clientID)
}

func owner(kind string, parts ...string) Owner { return ownerOf("v1", kind, parts...) }

func ownerOf(version, kind string, parts ...string) Owner {
	data := make([]byte, 0, 256) // six ids and their lengths, as a rule: every token that is opened has an owner made
	return Owner{data: appendAll(appendAll(data, []string{version, kind}), parts)}
}

// appendAll puts its length before each part: without it ("ab", "c") and
// ("a", "bc") would be the same owner.
func appendAll(data []byte, parts []string) []byte {
	for _, p := range parts {
		data = append(appendLen(data, len(p)), p...)
	}
	return data
}

func appendLen(data []byte, n int) []byte {
	return binary.BigEndian.AppendUint32(data, uint32(n))
}
