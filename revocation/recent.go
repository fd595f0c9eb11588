package mcpauthrevocation

import "sync/atomic"

// recentEntries is how many of the last entries are remembered. Comparing a session with half of them takes about as long as
// looking it up in the table.
const recentEntries = 64

// recent are the hashes of the entries that were added last. A session in which nothing was found is compared with those that
// came since, and need not be looked up in a table that is too large for the processor's caches.
type recent struct {
	version atomic.Uint64 // how many entries were added
	hashes  [recentEntries]atomic.Uint64
}

// add notes an entry that is in the table. Its caller serializes the calls.
func (r *recent) add(hash uint64) {
	version := r.version.Load() + 1
	r.hashes[version%recentEntries].Store(hash)
	r.version.Store(version) // behind the entry and its hash: a check that saw the version before has to look again
}

// mayHold reports whether an entry behind the version after, up to the version to, may be about one of keys. It is true also when
// that is not known any more.
func (r *recent) mayHold(keys []key, after, to uint64) bool {
	if to-after > recentEntries/2 {
		return true
	}
	for version := after + 1; version <= to; version++ {
		hash := r.hashes[version%recentEntries].Load()
		for i := range keys {
			if keys[i].hash == hash {
				return true
			}
		}
	}
	// Meanwhile the places may have been written to again, for versions up to the one behind the present.
	return r.version.Load()+1-after >= recentEntries
}
