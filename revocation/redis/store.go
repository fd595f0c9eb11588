// Package mcpauthrevocationredis keeps what was revoked in a stream of Redis, Valkey or what speaks their protocol, for the
// replicas of a server on many machines.
package mcpauthrevocationredis

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
)

// Config says which server holds the stream.
type Config struct {
	// Client is connected to one primary, also by Sentinel (redis.NewFailoverClient). It is required, stays the caller's, and
	// needs the commands XADD, XREAD, XRANGE, XINFO and INFO. Timeouts for reading and writing are the store's own.
	Client *redis.Client

	// Key is that of the stream, "mcpauth:revocation" by default. All replicas have the same, and other environments others.
	Key string

	// Keep is how long entries stay in the stream, 25 h by default. It has to be longer than MaxTokenLife of
	// [mcpauthrevocation.Config], which is 24 h by default: a replica that starts knows what the stream holds. A list with a longer
	// MaxTokenLife is refused.
	Keep time.Duration

	// DangerouslyAllowVolatile lets Append succeed although the server may lose the stream: it has no append-only file, evicts
	// keys without TTL, or does not say. Then revoked sessions may work again after a restart of the server. One that refuses INFO
	// does not say either whether it is a replica.
	DangerouslyAllowVolatile bool

	// Logger gets what is wrong with the server, at Warn. The default is slog.Default() at the time of [New].
	Logger *slog.Logger
}

// A Store is a [mcpauthrevocation.Store] in a stream of Redis. What Append has acknowledged is as durable as the server's
// append-only file: with appendfsync always it survives the loss of power, with everysec a kill -9 of the server, and up to
// some 2 s are lost with the machine. What a running replica has read, it appends again after such a loss.
type Store struct {
	cfg    Config
	pace   pace
	warned atomic.Pointer[warning]
}

// New returns the store that cfg describes. It does no I/O.
func New(cfg Config) (*Store, error) {
	var errs []error
	if cfg.Client == nil {
		errs = append(errs, &mcpauth.ConfigError{Field: "Client", Reason: "is missing; set it to what redis.NewClient returns"})
	}
	if cfg.Key == "" {
		cfg.Key = "mcpauth:revocation"
	}
	if cfg.Keep == 0 {
		cfg.Keep = 25 * time.Hour
	}
	if cfg.Keep < time.Minute {
		errs = append(errs, &mcpauth.ConfigError{Field: "Keep", Value: cfg.Keep.String(), Reason: "is too short; 0 means 25 h, and it has to be longer than MaxTokenLife"})
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg}
	s.pace.reset()
	return s, nil
}

const (
	block     = 400 * time.Millisecond // for which XREAD waits
	writeTime = 3 * time.Second        // for one of the commands of Append, and for Ready

	atOnce = 16 // messages of up to 64 KiB that Append sends in one piece
	field  = "entries"
)

// Append adds entries to the stream. It fails when the server may lose them; see [Config.DangerouslyAllowVolatile]. A server that
// is silent is waited for until ctx ends, and for at most 3 s.
func (s *Store) Append(ctx context.Context, entries []mcpauthrevocation.Entry) error {
	if err := s.Ready(ctx); err != nil {
		return err
	}
	texts, err := mcpauthrevocation.MarshalEntries(entries)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(texts, atOnce) {
		if err := s.add(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

// add adds messages to the stream.
func (s *Store) add(ctx context.Context, texts [][]byte) error {
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	oldest := strconv.FormatInt(time.Now().Add(-s.cfg.Keep).UnixMilli(), 10)
	_, err := s.client(ctx).Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, text := range texts {
			p.XAdd(ctx, &redis.XAddArgs{Stream: s.cfg.Key, Approx: true, MinID: oldest, Values: []string{field, string(text)}})
		}
		return nil
	})
	return err
}

// client returns a client whose commands end when ctx does: go-redis heeds only the deadlines of clients that are set up so.
func (s *Store) client(ctx context.Context) *redis.Client {
	limit := writeTime
	if end, ok := ctx.Deadline(); ok {
		limit = max(time.Until(end), time.Millisecond)
	}
	return s.cfg.Client.WithTimeout(limit)
}

// Ready returns nil when the server answers and keeps what it is given.
func (s *Store) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	err := s.durability(ctx)
	if volatile := (*volatileError)(nil); errors.As(err, &volatile) && s.cfg.DangerouslyAllowVolatile {
		return nil
	}
	return err
}

// Keeps returns how long entries stay in the stream.
func (s *Store) Keeps() time.Duration { return s.cfg.Keep }

// A volatileError is why the server may lose the stream.
type volatileError struct{ reason string }

func (e *volatileError) Error() string {
	return "mcpauthrevocationredis: " + e.reason + "; or set DangerouslyAllowVolatile, and have revoked sessions work again after a restart of the server"
}

// durability returns why the server may lose the stream, or that it does not answer.
func (s *Store) durability(ctx context.Context) error {
	text, err := s.client(ctx).Info(ctx).Result()
	if answer := redis.Error(nil); errors.As(err, &answer) && (strings.HasPrefix(answer.Error(), "NOPERM") || strings.HasPrefix(answer.Error(), "ERR ")) {
		return &volatileError{"the server refuses INFO (" + answer.Error() + "), so that it is not known whether it keeps the stream; allow the command INFO"}
	}
	if err != nil {
		return err
	}
	settings := make(map[string]string)
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		settings[name] = value
	}
	if role := settings["role"]; role == "slave" || role == "replica" {
		return errReplica
	}
	switch policy := settings["maxmemory_policy"]; {
	case settings["aof_enabled"] != "1":
		return &volatileError{"the server has no append-only file, and loses the stream when it ends; set appendonly yes"}
	case policy != "noeviction" && !strings.HasPrefix(policy, "volatile-"):
		return &volatileError{"the server's maxmemory-policy is " + strconv.Quote(policy) + ", which may evict the stream; set noeviction"}
	}
	return nil
}

// errReplica is the error of a server that may lag behind its primary, for ever when the link to it is broken, and does not say so.
var errReplica = errors.New("mcpauthrevocationredis: the server is a replica; connect Client to the primary, by Sentinel if that may change")

// Follow reads the stream from a position on, and waits for more. The message at the position has to be there still: if it
// is not, the server has lost it, and maybe others, and the error is [mcpauthrevocation.ErrPastLost]. That is asked again
// after each answer, because a server that was emptied gives later ids, which would hide the gap.
func (s *Store) Follow(ctx context.Context, from mcpauthrevocation.Position, apply func(mcpauthrevocation.Batch)) error {
	at, checked := string(from), time.Time{}
	more := true // so that the first answer comes at once, also when there is nothing
	for {
		if time.Since(checked) > checkAgain {
			if err := s.checkServer(ctx); err != nil {
				return err
			}
			if err := s.find(ctx, at); err != nil {
				return err
			}
			checked = time.Now()
		}
		messages, full, err := s.read(ctx, at, !more)
		if err == nil {
			err = s.find(ctx, at)
		}
		if err != nil {
			return err
		}
		more = full
		batch := mcpauthrevocation.Batch{CaughtUp: !more}
		for _, message := range messages {
			batch.Entries = append(batch.Entries, s.entries(ctx, message)...)
			at = message.ID
		}
		batch.Position = mcpauthrevocation.Position(at)
		apply(batch)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// checkAgain is how often a server is asked whether it is still a primary: it ends the commands that block when it becomes a
// replica, and answers all others as before.
const checkAgain = 2 * time.Second

// checkServer returns an error unless the server answers and is a primary.
func (s *Store) checkServer(ctx context.Context) error {
	err := s.reach(ctx)
	if volatile := (*volatileError)(nil); errors.As(err, &volatile) {
		s.warn(ctx, volatile)
		return nil
	}
	return err
}

// A warning is what was said about the server, and when.
type warning struct {
	reason string
	at     time.Time
}

// warnAgain is how long a warning counts: a replica that can't read the stream asks for its server's settings twice a second.
const warnAgain = time.Minute

// warn says why the server may lose the stream.
func (s *Store) warn(ctx context.Context, err *volatileError) {
	now := time.Now()
	if last := s.warned.Load(); last != nil && last.reason == err.reason && now.Sub(last.at) < warnAgain {
		return
	}
	s.warned.Store(&warning{err.reason, now})
	s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "the revocation store may lose what it is given", slog.Any("error", err),
		slog.String("cure", "set up the server as the error says"))
}

// read returns the messages after a position, and whether there may be more. If there are none, it may wait for them for a
// moment. Its command has the client's timeout: that of XRead would wait 10 s longer than it blocks.
func (s *Store) read(ctx context.Context, at string, wait bool) (messages []redis.XMessage, more bool, err error) {
	if at == "" {
		at = "0-0"
	}
	count := s.pace.count.Load()
	args, blocks := []any{"xread", "count", count}, time.Duration(0)
	if wait {
		args, blocks = append(args, "block", block.Milliseconds()), block
	}
	args = append(args, "streams", s.cfg.Key, at)
	command := redis.NewXStreamSliceCmd(ctx, args...)
	command.SetFirstKeyPos(int8(len(args) - 2)) //nolint:gosec // at most 6
	began := time.Now()
	err = s.ask(ctx, block, blocks, func(ctx context.Context, client *redis.Client) error { return client.Process(ctx, command) })
	switch {
	case errors.Is(err, redis.Nil):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	}
	streams := command.Val()
	if len(streams) != 1 {
		return nil, false, errors.New("mcpauthrevocationredis: the server answered XREAD for another number of streams")
	}
	messages = streams[0].Messages
	if more = int64(len(messages)) >= count; more && !wait { // one that waited says nothing about the line
		s.pace.filled(count, time.Since(began))
	}
	return messages, more, nil
}

// find returns ErrPastLost if the message at a position is gone without being too old.
func (s *Store) find(ctx context.Context, at string) error {
	if at == "" {
		return nil
	}
	var messages []redis.XMessage
	began := time.Now()
	err := s.ask(ctx, 0, 0, func(ctx context.Context, client *redis.Client) (err error) {
		messages, err = client.XRange(ctx, s.cfg.Key, at, at).Result()
		return err
	})
	if err != nil {
		return err
	}
	if len(messages) > 0 {
		s.pace.single.Store(int64(time.Since(began)))
		return nil
	}
	milliseconds, _, _ := strings.Cut(at, "-")
	written, err := strconv.ParseInt(milliseconds, 10, 64)
	if err == nil && time.Since(time.UnixMilli(written)) > s.cfg.Keep {
		// It was trimmed, if what came later is there. An emptied stream may give ids that this replica would never read.
		var info *redis.XInfoStream
		err := s.ask(ctx, 0, 0, func(ctx context.Context, client *redis.Client) (err error) {
			info, err = client.XInfoStream(ctx, s.cfg.Key).Result()
			return err
		})
		if err == nil && info.Length > 0 {
			last, _, _ := strings.Cut(info.LastGeneratedID, "-")
			if generated, err := strconv.ParseInt(last, 10, 64); err == nil && generated > written {
				return nil
			}
		}
	}
	return mcpauthrevocation.ErrPastLost
}

func (s *Store) entries(ctx context.Context, message redis.XMessage) []mcpauthrevocation.Entry {
	text, _ := message.Values[field].(string)
	entries, err := mcpauthrevocation.UnmarshalEntries([]byte(text))
	if err != nil {
		s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "a message of the revocation stream can't be read", slog.String("key", s.cfg.Key), slog.String("id", message.ID),
			slog.Any("error", err), slog.String("cure", "find out who else writes to the key, and let all replicas use the same version"))
	}
	return entries
}
