package keys

// Settle waits for the end of a fetch in flight, and returns an identity of what is known. It is for the tests of core.
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

// Unpace forgets how often the environment was asked for unknown kids. It is for the tests of core.
func (set *Set) Unpace() {
	set.mu.Lock()
	defer set.mu.Unlock()
	set.pace = pace{}
}
