package keys

// Settle waits until no fetch is in flight, and returns the current snapshot, for comparison only. It is for the tests of
// core.
func (set *Set) Settle() any {
	for {
		set.mu.Lock()
		fetch := set.flight
		set.mu.Unlock()
		if fetch == nil {
			return set.snapshot.Load()
		}
		<-fetch.done
	}
}

// Unpace resets the limit on fetches for unknown kids. It is for the tests of core.
func (set *Set) Unpace() {
	set.mu.Lock()
	defer set.mu.Unlock()
	set.pace = pace{}
}
