package mcpauthrevocation

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestR103RevokedAgainAndAgain has the same users revoked many times: the list does not grow, and has the latest of each.
func TestR103RevokedAgainAndAgain(t *testing.T) {
	t.Parallel()
	const users, times = 3, 20_000
	entries := newTable()
	began := time.Unix(1_700_000_000, 0)
	for i := range times {
		e := User("usr_" + strconv.Itoa(i%users))
		e.At, e.EventID = began.Add(time.Duration(i)*time.Second), strings.Repeat("x", 1000)
		if _, changed := entries.add(&e); !changed {
			t.Fatal("a later entry changes nothing")
		}
	}
	chunks := 0
	for i := range entries.shards {
		chunks += len(entries.shards[i].Load().chunks)
	}
	if chunks > 4*users || entries.count.Load() != users {
		t.Errorf("%d entries in %d chunks", entries.count.Load(), chunks)
	}
	for i := range users {
		id := "usr_" + strconv.Itoa(i)
		last := began.Unix() + int64((times-1-i)/users*users+i)
		hash := entries.hash(kindByte(KindUser), id)
		if entries.find(hash, kindByte(KindUser), id, "", last) == nil || entries.find(hash, kindByte(KindUser), id, "", last+1) != nil {
			t.Errorf("%s is not revoked up to its last second", id)
		}
	}
}
