package mcpauthrevocationredis

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	shortest = 400 * time.Millisecond // how long a server may be silent, in addition to the time for which it blocks
	longest  = 5 * time.Second

	firstCount = 16
	mostCount  = 1024 // of single entries some 200 KB, of 64 KiB each 64 MB

	shortTry = 600 * time.Millisecond // after which a server that is being reached is asked once more
	longTry  = 5 * time.Second
)

// A pace is how long a server is waited for, and how much it is asked for at once. A server that does not answer has to be
// asked again soon, because its connection may be dead. One that is far away, or has much to send through a narrow line, would
// never be heard so: after each silence it gets twice the time, and is asked for less.
type pace struct {
	patience atomic.Int64 // time.Duration
	count    atomic.Int64 // messages in one answer
	single   atomic.Int64 // time.Duration in which one message came last
}

func (p *pace) reset() {
	p.patience.Store(int64(shortest))
	p.count.Store(firstCount)
}

// answered notes how soon a server has answered that was waited for with a patience.
func (p *pace) answered(patience, took time.Duration) {
	if took < patience/4 {
		p.patience.Store(int64(max(patience/2, shortest)))
	}
}

// filled notes how long an answer with as many messages as were asked for was on its way. From a server that is far away, many
// take little longer than one.
func (p *pace) filled(count int64, took time.Duration) {
	single := time.Duration(p.single.Load())
	switch {
	case took < max(shortest/4, 2*single):
		p.count.Store(min(2*count, mostCount))
	case took > max(shortest, 3*single):
		p.count.Store(max(count/2, 1))
	}
}

// silent notes that a server has not answered.
func (p *pace) silent(patience time.Duration) {
	p.patience.Store(int64(min(2*patience, longest)))
	p.count.Store(max(p.count.Load()/4, 1))
}

// ask runs a command that blocks for a time. It ends when ctx does, and when the server is silent for too long. extra is how much
// longer than a short answer the command may take in all.
func (s *Store) ask(ctx context.Context, extra, blocks time.Duration, command func(context.Context, *redis.Client) error) error {
	patience := time.Duration(s.pace.patience.Load())
	limited, cancel := context.WithTimeout(ctx, extra+patience)
	defer cancel()
	began := time.Now()
	err := command(limited, s.cfg.Client.WithTimeout(extra+patience))
	switch {
	case ctx.Err() != nil:
	case isSilence(err):
		s.pace.silent(patience)
	default:
		s.pace.answered(patience, time.Since(began)-blocks)
	}
	return err
}

// reach returns what durability does, as soon as the server answers. A server that is silent is asked again every 600 ms, because
// the packets of the first try may be lost, and in addition once with more time, because it may be far away.
func (s *Store) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, longTry, errSilent)
	defer cancel()
	answers := make(chan error)
	try := func(limit time.Duration) {
		limited, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		err := s.durability(limited)
		if isSilence(err) {
			return
		}
		select {
		case answers <- err:
		case <-ctx.Done():
		}
	}
	go try(shortTry)
	next := time.NewTicker(shortTry)
	defer next.Stop()
	for first := true; ; first = false {
		select {
		case err := <-answers:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-next.C:
		}
		if first {
			go try(longTry)
		}
		go try(shortTry)
	}
}

var errSilent = errors.New("mcpauthrevocationredis: the server does not answer")

// isSilence reports whether err says that the server has not answered in time.
func isSilence(err error) bool {
	timeout := net.Error(nil)
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}
