package keys

import "time"

// These limits allow at most 15 fetches within any 60 seconds: lookupBurst, and one for each full lookupInterval. A request
// for an unknown kid waits less than 4.5 s for its fetch to start, which leaves the fetch half a second.
const (
	lookupInterval = 4300 * time.Millisecond
	lookupBurst    = 2 // so that a key can be looked up at once although another was looked up a moment ago
)

// A pace limits how often the environment is asked for unknown kids. A client without a token can send any number of them,
// and nothing else protects the environment from such a flood.
type pace struct {
	spent time.Time // when the full lookupBurst is available again
}

// wait returns how long to wait before a fetch is allowed: between 0 and lookupInterval.
func (p *pace) wait(now time.Time) time.Duration {
	return max(0, p.spent.Add(-(lookupBurst-1)*lookupInterval).Sub(now))
}

// take counts a fetch. A fetch made without asking wait counts too, and delays the next one by at most lookupInterval.
func (p *pace) take(now time.Time) {
	if p.spent.Before(now) {
		p.spent = now
	}
	p.spent = p.spent.Add(lookupInterval)
	if most := now.Add(lookupBurst * lookupInterval); p.spent.After(most) {
		p.spent = most
	}
}
