package secrets

import (
	"bytes"
	"testing"
)

// A MAC is found again while its key is in the keyset, whichever is the primary one, and under no other keyset.
func TestMACsOutliveAPromotion(t *testing.T) {
	t.Parallel()
	handle, err := newHandle()
	if err != nil {
		t.Fatal(err)
	}
	before, after := keyring(t, handle), keyring(t, rotated(t, handle))
	text := []byte("gho_an-access-token")
	stored := before.MAC(text)
	if !bytes.HasPrefix(stored, before.PrimaryPrefix()) || len(stored) != PrefixSize+32 || bytes.Contains(stored, text) {
		t.Errorf("the MAC is %x", stored)
	}
	if !bytes.Equal(stored, before.MAC(text)) || bytes.Equal(stored, before.MAC([]byte("gho_another"))) {
		t.Error("a MAC is not of its text alone")
	}
	all := after.MACs(text)
	if len(all) != 2 || !bytes.Equal(all[0], after.MAC(text)) || !bytes.Equal(all[1], stored) || bytes.Equal(all[0][PrefixSize:], all[1][PrefixSize:]) {
		t.Errorf("after the promotion: %x", all)
	}
	foreign := generate(t)
	if bytes.Equal(foreign.MAC(text)[PrefixSize:], stored[PrefixSize:]) {
		t.Error("another keyset makes the same MAC")
	}
}
