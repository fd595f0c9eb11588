package mcpauthrevocation

import "testing"

// TestRecentForgets asks about each stretch of the entries that were added: an entry in it is found, one elsewhere is not, and of
// a stretch that is too long, or whose places may have other entries by now, anything may be said to be there.
func TestRecentForgets(t *testing.T) {
	t.Parallel()
	var r recent
	const added = 200
	for version := uint64(1); version <= added; version++ {
		r.add(1000 + version)
	}
	for after := range uint64(added) {
		for to := after; to <= added; to++ {
			unknown := to-after > recentEntries/2 || after+recentEntries <= added+1
			for _, version := range []uint64{1, after, after + 1, to, to + 1, added} {
				inside := after < version && version <= to
				got := r.mayHold([]key{{hash: 1}, {hash: 1000 + version}}, after, to)
				if want := inside || unknown; got != want {
					t.Fatalf("between %d and %d: that %d may be there is said to be %t", after, to, version, got)
				}
			}
		}
	}
}
