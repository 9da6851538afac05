package secrets

import "encoding/binary"

// The parts of a flow that are sealed apart from each other.
const (
	FlowRequest = "request" // the PKCE verifier and the nonce
	FlowTokens  = "tokens"  // what the code was exchanged for
)

// Owner is to whom a sealed value belongs. It travels beside the ciphertext as
// associated data and is stored nowhere: whoever opens must know it. It is made
// of values that never change, since a change would lock the value for good.
type Owner struct{ data []byte }

// CredentialOwner owns the tokens of one authorization.
func CredentialOwner(id, authorization, org, user, provider string) Owner {
	return owner("credential", id, authorization, org, user, provider)
}

// SecretOwner owns a provider's client secret. The client id and the origins
// belong to it, so that a secret cannot be sent to another host by editing the
// provider's row. The order of origins counts: hand them in as the type lists
// them.
func SecretOwner(id, provider, org, typ, clientID string, origins []string) Owner {
	o := owner("secret", id, provider, org, typ, clientID)
	return Owner{data: appendAll(appendLen(o.data, len(origins)), origins)}
}

// FlowOwner owns one part of a flow: FlowRequest or FlowTokens.
func FlowOwner(id, part, org, user, provider string) Owner {
	return owner("flow", id, part, org, user, provider)
}

func owner(kind string, parts ...string) Owner {
	data := make([]byte, 0, 256) // six ids and their lengths, as a rule: every token that is opened has an owner made
	return Owner{data: appendAll(appendAll(data, []string{"v1", kind}), parts)}
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
