package keys

import "time"

// With these, no 60 seconds see more than 15 fetches: lookupBurst, and one for each full lookupInterval. And a kid waits
// for its fetch for less than 5 s minus the half second that the fetch may take.
const (
	lookupInterval = 4300 * time.Millisecond
	lookupBurst    = 2 // so that a key can be looked up at once although another one was a moment ago
)

// A pace says when the environment may be asked for an unknown kid. A client without a token can send any
// number of unknown kids, so this is all that stands between a flood and the environment.
type pace struct {
	spent time.Time // when as many fetches as lookupBurst can be made at once again
}

// wait returns how long to wait before a fetch is allowed: nothing, or lookupInterval at the most.
func (p *pace) wait(now time.Time) time.Duration {
	return max(0, p.spent.Add(-(lookupBurst-1)*lookupInterval).Sub(now))
}

// take counts a fetch. Those that are made without asking count too, and delay the next one by lookupInterval at the most.
func (p *pace) take(now time.Time) {
	if p.spent.Before(now) {
		p.spent = now
	}
	p.spent = p.spent.Add(lookupInterval)
	if most := now.Add(lookupBurst * lookupInterval); p.spent.After(most) {
		p.spent = most
	}
}
