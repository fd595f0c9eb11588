package mcpauthrevocation

import (
	"encoding/binary"
	"hash/maphash"
	"math"
	"sync/atomic"
	"time"
)

// A table holds entries by what they revoke. Readers take no lock; writers are serialized by their caller.
//
// It is divided into shards, so that growing and forgetting copy little at a time. A shard is a hash table of 8-byte slots: a
// part of the hash, and the place of a record in chunks of bytes. Millions of entries are a few thousand objects for the
// garbage collector, and a reader that finds nothing has looked at one slot.
type table struct {
	seed   maphash.Seed
	shards [shards]atomic.Pointer[shard]
	count  atomic.Int64
}

const (
	shards    = 64
	chunkSize = 16 << 10

	tagBits  = 24
	minSlots = 8
)

// A shard is replaced as a whole when slots or chunks are added. A reader that has the one before sees at most that a record
// is in a chunk which it does not know, and begins again.
type shard struct {
	slots  []atomic.Uint64 // a power of two; tag and place+1 of a record, 0 when free
	used   int
	chunks [][]byte
	end    int // of the last chunk's records
	dead   int // bytes of records that later ones have replaced
}

// A record is an entry in bytes: kind, seconds of At, nanoseconds, and the three texts behind their lengths.
type record []byte

const recordHead = 1 + 8 + 4

func appendRecord(to []byte, e *Entry) record {
	to = append(to, kindByte(e.Kind))
	to = binary.LittleEndian.AppendUint64(to, uint64(e.At.Unix()))       //nolint:gosec // converted back by second
	to = binary.LittleEndian.AppendUint32(to, uint32(e.At.Nanosecond())) //nolint:gosec // below 1e9
	for _, text := range [...]string{e.ID, e.Organization, e.EventID} {
		to = binary.AppendUvarint(to, uint64(len(text)))
		to = append(to, text...)
	}
	return to
}

func kindByte(k Kind) byte { return k[0] }

func kindOf(b byte) Kind {
	for _, k := range [...]Kind{KindToken, KindSession, KindUser, KindMember, KindOrganization, KindClient} {
		if k[0] == b {
			return k
		}
	}
	return ""
}

func (r record) second() int64 { return int64(binary.LittleEndian.Uint64(r[1:])) } //nolint:gosec // see appendRecord

func (r record) text(n int) (text []byte) {
	rest := r[recordHead:]
	for range n + 1 {
		length, size := binary.Uvarint(rest)
		text, rest = rest[size:size+int(length)], rest[size+int(length):] //nolint:gosec // at most maxID
	}
	return text
}

// names reports whether r is of a kind and revokes id. organization "" stands for any.
func (r record) names(kind byte, id, organization string) bool {
	return r[0] == kind && string(r.text(0)) == id && (organization == "" || string(r.text(1)) == organization)
}

func (r record) entry() Entry {
	nanoseconds := int64(binary.LittleEndian.Uint32(r[9:]))
	return Entry{
		Kind: kindOf(r[0]), ID: string(r.text(0)), Organization: string(r.text(1)), EventID: string(r.text(2)),
		At: time.Unix(r.second(), nanoseconds).UTC(),
	}
}

// hash returns where entries of a kind about id are. Those of one member have the place of the user, because a token without
// an organization meets all of them.
func (t *table) hash(kind byte, id string) uint64 {
	return maphash.Comparable(t.seed, struct {
		kind byte
		id   string
	}{kind, id})
}

func slotOf(hash uint64, place int) uint64 {
	return tagOf(hash) | uint64(place+1) //nolint:gosec // below 2^40
}

func placeOf(slot uint64) int {
	return int(slot<<tagBits>>tagBits) - 1
}

func newTable() *table {
	t := &table{seed: maphash.MakeSeed()}
	for i := range t.shards {
		t.shards[i].Store(&shard{})
	}
	return t
}

// tagOf returns the part of a hash that is in its slot, in place.
func tagOf(hash uint64) uint64 { return hash >> (64 - tagBits) << (64 - tagBits) }

// find returns a record that names what is asked for and was revoked in the second since or later, or nil. hash is that of
// kind and id; organization "" stands for any.
func (t *table) find(hash uint64, kind byte, id, organization string, since int64) record {
	for {
		r, known := t.shards[hash%shards].Load().find(hash, kind, id, organization, since)
		if known {
			return r
		}
	}
}

// find is that of table in one shard. known is false when s was replaced meanwhile.
func (s *shard) find(hash uint64, kind byte, id, organization string, since int64) (r record, known bool) {
	if len(s.slots) == 0 {
		return nil, true
	}
	mask := s.mask()
	for i := hash / shards & mask; ; i = (i + 1) & mask {
		slot := s.slots[i].Load()
		if slot == 0 {
			return nil, true
		}
		if tagOf(slot) != tagOf(hash) {
			continue
		}
		r, known := s.record(slot)
		if !known {
			return nil, false
		}
		if r.names(kind, id, organization) && r.second() >= since {
			return r, true
		}
	}
}

func (s *shard) record(slot uint64) (r record, known bool) {
	place := placeOf(slot)
	chunk := place / chunkSize
	if chunk >= len(s.chunks) {
		return nil, false
	}
	return s.chunks[chunk][place%chunkSize:], true
}

// add adds an entry, and returns the hash of its place, and whether that changes anything: of several entries about the same, the
// latest counts.
func (t *table) add(e *Entry) (hash uint64, changed bool) {
	hash = t.hash(kindByte(e.Kind), e.ID)
	at := &t.shards[hash%shards]
	s := at.Load()
	if (s.used+1)*4 > len(s.slots)*3 {
		s = s.grown(t)
		at.Store(s)
	}
	mask := s.mask()
	i := hash / shards & mask
	fresh, replaced := true, 0
	for ; ; i = (i + 1) & mask {
		slot := s.slots[i].Load()
		if slot == 0 {
			break
		}
		if tagOf(slot) != tagOf(hash) {
			continue
		}
		if r, _ := s.record(slot); r.names(kindByte(e.Kind), e.ID, e.Organization) {
			old := r.entry()
			if !e.At.After(old.At) {
				return hash, false
			}
			fresh, replaced = false, len(appendRecord(nil, &old))
			break
		}
	}
	s, place := s.write(e)
	at.Store(s) // before the slot: who finds the record has to know its chunk
	s.slots[i].Store(slotOf(hash, place))
	if fresh {
		s.used++
		t.count.Add(1)
	}
	if s.dead += replaced; s.dead > chunkSize && s.dead > len(s.chunks)*chunkSize/2 {
		at.Store(t.rebuilt(s.since(math.MinInt64)))
	}
	return hash, true
}

// write appends the record of e. It returns s, or a copy with one chunk more.
func (s *shard) write(e *Entry) (in *shard, place int) {
	r := appendRecord(make([]byte, 0, 256), e)
	if len(s.chunks) == 0 || s.end+len(r) > chunkSize {
		more := *s
		more.chunks = append(append(make([][]byte, 0, len(s.chunks)+1), s.chunks...), make([]byte, chunkSize))
		more.end = 0
		s = &more
	}
	place = (len(s.chunks)-1)*chunkSize + s.end
	s.end += copy(s.chunks[len(s.chunks)-1][s.end:], r)
	return s, place
}

// grown returns a copy with twice the slots, which shares the records.
func (s *shard) grown(t *table) *shard {
	more := *s
	more.slots = make([]atomic.Uint64, max(minSlots, 2*len(s.slots)))
	for i := range s.slots {
		slot := s.slots[i].Load()
		if slot == 0 {
			continue
		}
		r, _ := s.record(slot)
		more.set(t.hash(r[0], string(r.text(0))), placeOf(slot))
	}
	return &more
}

// forget drops the entries that were revoked before the second.
func (t *table) forget(before int64) {
	for i := range t.shards {
		s := t.shards[i].Load()
		kept := s.since(before)
		if len(kept) == s.used {
			continue
		}
		t.shards[i].Store(t.rebuilt(kept))
		t.count.Add(int64(len(kept) - s.used))
	}
}

// rebuilt returns a shard of these records alone.
func (t *table) rebuilt(kept []record) *shard {
	s := &shard{slots: make([]atomic.Uint64, slotsFor(len(kept)))}
	for _, r := range kept {
		e := r.entry()
		var place int
		s, place = s.write(&e)
		s.set(t.hash(r[0], e.ID), place)
	}
	s.used = len(kept)
	return s
}

// since returns the records that were revoked in the second or later.
func (s *shard) since(second int64) (kept []record) {
	for i := range s.slots {
		if slot := s.slots[i].Load(); slot != 0 {
			if r, _ := s.record(slot); r.second() >= second {
				kept = append(kept, r)
			}
		}
	}
	return kept
}

// set puts the place of a record into the first free slot for its hash.
func (s *shard) set(hash uint64, place int) {
	mask := s.mask()
	i := hash / shards & mask
	for s.slots[i].Load() != 0 {
		i = (i + 1) & mask
	}
	s.slots[i].Store(slotOf(hash, place))
}

func (s *shard) mask() uint64 { return uint64(len(s.slots) - 1) } //nolint:gosec // there is a slot

func slotsFor(entries int) int {
	slots := minSlots
	for (entries+1)*4 > slots*3 {
		slots *= 2
	}
	return slots
}

// each calls f for all entries until it returns false.
func (t *table) each(f func(Entry) bool) {
	for i := range t.shards {
		s := t.shards[i].Load()
		for j := range s.slots {
			slot := s.slots[j].Load()
			if slot == 0 {
				continue
			}
			if r, known := s.record(slot); known && !f(r.entry()) {
				return
			}
		}
	}
}
