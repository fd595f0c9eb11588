package mcpauthfasthttp

import (
	"io"
	"sync"
	"sync/atomic"
)

// A stream is a streamed response as fasthttp reads it.
type stream struct {
	w      *response
	rest   []byte
	owing  bool                  // whether the handler waits for rest to be written
	err    atomic.Pointer[error] // why it can't be written any more, if that is known
	closed sync.Once
}

// next returns what the handler flushed. Being called again tells that all of it was written to the connection.
func (s *stream) next() ([]byte, error) {
	if s.owing {
		s.owing = false
		s.w.taken <- struct{}{}
	} else {
		s.w.x.limit()
	}
	for {
		select {
		case piece := <-s.w.chunks:
			s.owing = true
			return piece, nil
		case <-s.w.ended:
			if s.w.failure != io.EOF { //nolint:errorlint // set by end
				s.w.x.breakOff() // a middleware that compresses the stream does not pass the error on
			}
			return nil, s.w.failure
		case <-s.w.x.shutdown:
			s.w.x.shutDown()
		}
	}
}

// Read is next for what can't use WriteTo.
func (s *stream) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		var err error
		if s.rest, err = s.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// WriteTo sends each piece at once, also where the response has a declared length.
func (s *stream) WriteTo(w io.Writer) (n int64, err error) {
	n, err = writeTo(w, s)
	if err != nil {
		s.err.Store(&err)
	}
	return n, err
}

// SupportsBodyWriteTo makes fasthttp use WriteTo.
func (s *stream) SupportsBodyWriteTo() bool { return true }

// Close is called at the end of the stream, or when it can't be written any more. A middleware that compresses streams
// may call it while another goroutine of its reads.
func (s *stream) Close() error {
	s.closed.Do(func() {
		s.w.x.stop()
		s.w.x.cancel(errDisconnected)
		if err := s.err.Load(); err != nil {
			s.w.writeErr = *err
		}
		close(s.w.broken)
	})
	return nil
}
