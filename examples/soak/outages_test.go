package soak

import (
	"context"
	"time"
)

// disturb stops the environment and slows it down, also while keys rotate.
func (s *soak) disturb(ctx context.Context) {
	defer s.env.SetDelay(0)
	for {
		if !pause(ctx, 18*time.Second) {
			return
		}
		s.env.Stop()
		on := pause(ctx, 4*time.Second)
		s.restart()
		if !on || !pause(ctx, 16*time.Second) {
			return
		}
		s.env.SetDelay(400 * time.Millisecond) // slow enough to notice
		if !pause(ctx, 5*time.Second) {
			return
		}
		s.env.SetDelay(0)
		if !pause(ctx, 5*time.Second) {
			return
		}
		s.env.SetDelay(3 * time.Second) // too slow for the servers
		if !pause(ctx, 5*time.Second) {
			return
		}
		s.env.SetDelay(0)
		if !pause(ctx, 7*time.Second) {
			return
		}
	}
}

// restart starts the environment. It tries again while a client's connection occupies the port.
func (s *soak) restart() {
	for range 100 {
		func() {
			defer func() {
				if v := recover(); v != nil {
					time.Sleep(100 * time.Millisecond)
				}
			}()
			s.env.Start()
		}()
	}
}
