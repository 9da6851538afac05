package console

import "testing"

// The pages' module is small: a change that needs more of it has to be thought over.
func TestTheScriptIsSmall(t *testing.T) {
	if most := 6000; len(script) > most {
		t.Errorf("the script has %d bytes, of at most %d", len(script), most)
	}
}
