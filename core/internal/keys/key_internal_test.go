package keys

import (
	"crypto/rsa"
	"testing"
	"testing/synctest"
	"time"
)

func TestR53NewKeyUnderAnOldID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &environment{}
		s.publish("a")
		ks := newTestKeySet(s)
		expect(t, ks, "a", "a")
		before := ks.snapshot.Load().keys["a"][0]
		s.keys.Store(&keysByID{"a": {publicKeys["b"]}})
		time.Sleep(maxAge)
		expect(t, ks, "a", "a")
		if after := ks.snapshot.Load().keys["a"][0]; after == before || !before.withdrawn.Load() {
			t.Error("another key under the same id was taken for the same key")
		}
	})
}

// TestR91SeveralKeysUnderOneID has several keys under one id: at most four of them count, each once, and each is withdrawn
// by itself.
func TestR91SeveralKeysUnderOneID(t *testing.T) {
	t.Parallel()
	set := make(keysByID)
	exponent := func(e int) *rsa.PublicKey { return &rsa.PublicKey{N: publicKeys["a"].N, E: e} }
	for _, e := range []int{3, 3, 5, 7, 3, 9, 11} {
		set.add("a", exponent(e))
	}
	if len(set["a"]) != maxKeysPerID || set["a"][3].E != 9 {
		t.Fatalf("%d keys", len(set["a"]))
	}
	ks := newTestKeySet(nil)
	ks.publish(set, time.Now(), 1)
	before := ks.snapshot.Load().keys["a"]
	ks.publish(keysByID{"a": {exponent(13), exponent(7), exponent(3)}}, time.Now(), 2)
	after := ks.snapshot.Load().keys["a"]
	if after[1] != before[2] || after[2] != before[0] {
		t.Error("a key that stayed lost its identity")
	}
	for i, withdrawn := range []bool{false, true, false, true} {
		if before[i].withdrawn.Load() != withdrawn {
			t.Errorf("key %d withdrawn: %v", i, !withdrawn)
		}
	}
}
