// Package mcpauthrevocationfile keeps what was revoked in a file, for the servers of one machine.
package mcpauthrevocationfile

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
)

// Config says where the file is.
type Config struct {
	// Path is the file. It is made when it is first needed, its directory is not. Several processes of one machine may use it,
	// on a local disk; on Windows only one may.
	Path string

	// Logger gets lines that can't be read, at Warn. The default is slog.Default() at the time of [New].
	Logger *slog.Logger
}

// A Store is a [mcpauthrevocation.Store] in an append-only file. What Append has acknowledged survives the end of the
// process, kill -9 included, and that of the machine as far as its disk keeps what was synced (fsync).
//
// The file has lines of JSON, one or more for each Append, and is not trimmed: a revocation takes some 150 bytes. To begin again,
// stop the servers for longer than the life of a token, and remove it.
type Store struct {
	path   string
	logger *slog.Logger
}

// New returns the store that cfg describes. It does no I/O.
func New(cfg Config) (*Store, error) {
	if cfg.Path == "" {
		return nil, &mcpauth.ConfigError{Field: "Path", Reason: "is missing; set it to a file on a local disk, such as /var/lib/mcp/revoked.log"}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Store{path: cfg.Path, logger: cfg.Logger}, nil
}

const (
	pulse = time.Second
	poll  = 50 * time.Millisecond

	lockTime = 5 * time.Second

	maxRead = 4 << 20
	maxHead = 256
)

// A head is the first line of the file. It tells the file from another at the same place.
type head struct {
	Log string `json:"mcpauth_revocation_log"`
}

const headStart = `{"mcpauth_revocation_log":"`

// Append adds entries as lines. It returns nil when they were synced to the disk.
func (s *Store) Append(ctx context.Context, entries []mcpauthrevocation.Entry) (err error) {
	lines, err := mcpauthrevocation.MarshalEntries(entries)
	if err != nil {
		return err
	}
	file, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }() // which unlocks it
	return write(file, lines...)
}

// Ready returns nil when the file can be opened for appending.
func (s *Store) Ready(ctx context.Context) error {
	file, err := s.open(ctx)
	if err != nil {
		return err
	}
	return file.Close()
}

// open opens the file for appending, locked, with its first line. It waits for the lock until ctx ends, and for at most 5 s: a
// process that was stopped while it wrote keeps the lock.
func (s *Store) open(ctx context.Context) (file *os.File, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lockTime, errors.New("mcpauthrevocationfile: another process has locked "+s.path+" for 5 s; see whether one was stopped"))
	defer cancel()
	for {
		if file, err = os.OpenFile(s.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600); err != nil {
			return nil, err
		}
		same := false
		if err = lock(ctx, file); err == nil {
			same, err = isAt(file, s.path)
		}
		if err == nil && same {
			err = s.begin(file)
		}
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
		if same {
			return file, nil
		}
		if err := file.Close(); err != nil { // it was replaced before it was locked
			return nil, err
		}
	}
}

// begin writes the first line of an empty file, or of one in which a process was killed while it wrote that line. It makes the
// file's name durable. Another file is left alone.
func (s *Store) begin(file *os.File) error {
	first, log, err := readHead(file)
	switch {
	case err != nil || log != "":
		return err
	case bytes.Contains(first, []byte("\n")) || len(first) == maxHead || !bytes.HasPrefix(first, []byte(headStart)[:min(len(first), len(headStart))]):
		return s.errOther()
	}
	if err := file.Truncate(0); err != nil {
		return err
	}
	line, err := json.Marshal(head{rand.Text()})
	if err != nil {
		return err
	}
	if err := write(file, line); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(s.path))
}

// readHead returns the first line of a file, or what there is of it, and the id that it gives. The id is "" when it is not, or not
// yet, a log.
func readHead(file *os.File) (first []byte, log string, err error) {
	first = make([]byte, maxHead)
	n, err := file.ReadAt(first, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, "", err
	}
	line, _, whole := bytes.Cut(first[:n], []byte("\n"))
	if !whole {
		return line, "", nil
	}
	first = first[:len(line)+1]
	var h head
	if err := json.Unmarshal(line, &h); err != nil {
		return first, "", nil //nolint:nilerr // another file
	}
	return first, h.Log, nil
}

func (s *Store) errOther() error {
	return fmt.Errorf("mcpauthrevocationfile: %s is not a log of revocations; move it away, or set Path to another file", s.path)
}

// write adds lines to a locked file. A part of a line that a process left behind is ended first, and a line that can't be
// written whole is taken back; whole ones stay, because they may have been read already.
func write(file *os.File, lines ...[]byte) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	var text []byte
	size := info.Size()
	if size > 0 {
		last := make([]byte, 1)
		if _, err := file.ReadAt(last, size-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			text = append(text, '\n')
		}
	}
	for _, line := range lines {
		text = append(append(text, line...), '\n')
	}
	if n, err := file.Write(text); err != nil {
		whole := bytes.LastIndexByte(text[:n], '\n') + 1
		return errors.Join(err, file.Truncate(size+int64(whole)))
	}
	return file.Sync()
}

func isAt(file *os.File, path string) (bool, error) {
	opened, err := file.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(opened, named), err
}

// Follow reads the file from a position on, and looks every 50 ms whether there is more. The error for a
// file that was removed, replaced or cut is [mcpauthrevocation.ErrPastLost].
func (s *Store) Follow(ctx context.Context, from mcpauthrevocation.Position, apply func(mcpauthrevocation.Batch)) error {
	if err := s.Ready(ctx); err != nil { // which makes the file
		return err
	}
	file, err := os.Open(s.path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it was only read
	f := follower{store: s, file: file}
	if err := f.seek(from); err != nil {
		return err
	}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	var heard time.Time
	for {
		batch, err := f.read()
		if err != nil {
			return err
		}
		if len(batch.Entries) > 0 || !batch.CaughtUp || time.Since(heard) >= pulse/2 {
			apply(batch)
			heard = time.Now()
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !batch.CaughtUp {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// A follower reads one file.
type follower struct {
	store  *Store
	file   *os.File
	head   []byte // the first line
	log    string // of the head
	offset int64
}

// seek reads the head, and goes to a position, which has to be in this file.
func (f *follower) seek(from mcpauthrevocation.Position) error {
	first, log, err := readHead(f.file)
	if err != nil {
		return err
	}
	if log == "" {
		return f.store.errOther()
	}
	f.head, f.log, f.offset = first, log, int64(len(first))
	if from == "" {
		return nil
	}
	of, offset, _ := strings.Cut(string(from), ":")
	at, err := strconv.ParseInt(offset, 10, 64)
	if of != f.log || err != nil {
		return mcpauthrevocation.ErrPastLost
	}
	f.offset = at
	return nil
}

// read returns the entries of the whole lines that came.
func (f *follower) read() (batch mcpauthrevocation.Batch, err error) {
	info, err := f.file.Stat()
	if err != nil {
		return batch, err
	}
	same, err := isAt(f.file, f.store.path)
	if err != nil {
		return batch, err
	}
	began := make([]byte, len(f.head))
	if _, err := f.file.ReadAt(began, 0); err != nil && !errors.Is(err, io.EOF) {
		return batch, err
	}
	if !same || info.Size() < f.offset || !bytes.Equal(began, f.head) { // emptied in place, it may have grown again
		return batch, mcpauthrevocation.ErrPastLost
	}
	text := make([]byte, min(info.Size()-f.offset, maxRead))
	n, err := f.file.ReadAt(text, f.offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return batch, err
	}
	whole := bytes.LastIndexByte(text[:n], '\n') + 1
	if whole == 0 && n == maxRead {
		return batch, fmt.Errorf("mcpauthrevocationfile: %s has a line longer than 4 MiB at byte %d; remove it", f.store.path, f.offset)
	}
	for line := range bytes.Lines(text[:whole]) {
		entries, err := mcpauthrevocation.UnmarshalEntries(line)
		if err != nil {
			f.store.logger.Warn("a line of the revocation log can't be read", "path", f.store.path, "byte", f.offset, "error", err,
				"cure", "nothing to do if a server was killed while it wrote, which it has not acknowledged; otherwise let all servers use the same version, and check the disk")
		}
		batch.Entries = append(batch.Entries, entries...)
		f.offset += int64(len(line))
	}
	batch.Position = mcpauthrevocation.Position(f.log + ":" + strconv.FormatInt(f.offset, 10))
	batch.CaughtUp = f.offset == info.Size() || whole == 0
	return batch, nil
}
