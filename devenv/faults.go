package devenv

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

// SetDelay makes every answer wait for d from now on, 0 for not at all. The page at the root does not wait.
func (e *Environment) SetDelay(d time.Duration) {
	e.faults.delay.Store(int64(max(d, 0)))
	e.changed()
}

// SetDown makes the environment close connections without an answer, as one does that is down, until it is called with
// false. The page at the root still answers.
func (e *Environment) SetDown(down bool) {
	e.faults.down.Store(down)
	e.changed()
}

// SetTokenLife changes how long tokens are valid that are issued from now on, in whole seconds.
func (e *Environment) SetTokenLife(life time.Duration) error {
	if life < time.Second {
		return fmt.Errorf("devenv: SetTokenLife: %v is less than a second; give at least 1s", life)
	}
	e.faults.life.Store(int64(life))
	e.oauth.SetTokenLife(life)
	e.changed()
	return nil
}

func (e *Environment) tokenLife() time.Duration { return time.Duration(e.faults.life.Load()) }

// faults are what the environment does wrong on purpose.
type faults struct {
	delay, life atomic.Int64 // time.Duration
	down        atomic.Bool
	ending      <-chan struct{}
}

func newFaults(life time.Duration, ending <-chan struct{}) *faults {
	f := &faults{ending: ending}
	f.life.Store(int64(life))
	return f
}

func (f *faults) slowOrDown(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !f.down.Load() {
			f.wait(w, r)
		}
		if f.down.Load() {
			panic(http.ErrAbortHandler) // net/http closes the connection
		}
		next.ServeHTTP(w, r)
	})
}

// wait returns after the delay. The server's own timeouts begin after it.
func (f *faults) wait(w http.ResponseWriter, r *http.Request) {
	delay := time.Duration(f.delay.Load())
	if delay == 0 {
		return
	}
	end := time.Now().Add(delay)
	connection := http.NewResponseController(w)
	_ = connection.SetWriteDeadline(end.Add(writeTimeout)) // of a connection that still exists, or else nothing is lost
	if r.ContentLength != 0 {
		_ = connection.SetReadDeadline(end.Add(readTimeout))
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
		panic(http.ErrAbortHandler)
	case <-f.ending:
		panic(http.ErrAbortHandler)
	}
}
