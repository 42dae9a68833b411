package dns

import "ctr/network/names"

// maxLookups is how many names are remembered within one batch.
const maxLookups = 4

// lookups remembers what was looked up for a batch of questions that had all been received before: each of them would have
// been told the same. Mostly it is the two questions for a name's two families, which clients send together. The zero value
// is ready.
type lookups struct {
	known  [maxLookups]lookup
	count  int
	answer []names.Entry // memory for one answer
}

type lookup struct {
	zone    *zone
	name    []byte
	entries []names.Entry
}

// reset forgets everything, but keeps the memory.
func (l *lookups) reset() { l.count = 0 }

// entries looks a name up in a zone. They may be changed until the next call.
func (l *lookups) entries(z *zone, name []byte) ([]names.Entry, error) {
	for i := range l.count {
		if k := &l.known[i]; k.zone == z && equalFold(k.name, name) {
			l.answer = append(l.answer[:0], k.entries...)
			return l.answer, nil
		}
	}
	k := &l.known[l.count%maxLookups]
	entries, err := z.reader.Lookup(k.entries[:0], name)
	if err != nil {
		return nil, err
	}
	k.zone, k.name, k.entries = z, append(k.name[:0], name...), entries
	l.count = min(l.count+1, maxLookups)
	l.answer = append(l.answer[:0], entries...)
	return l.answer, nil
}
