package firewall

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"ctr/network/netns"
)

// session is one netlink socket to the nftables of one network namespace. What is to change is gathered and sent as one
// transaction by commit. It is for one goroutine.
type session struct {
	kernel   *nftables.Conn // what there is
	nl       *netlink.Conn  // its socket
	gathered *nftables.Conn // what is to change; the library knows nothing of generations, so that commit sends it
	batch    []netlink.Message
	table    *nftables.Table
	// generation is the number of the rules that were looked at; 0: they were not, and what is gathered is right whatever there is.
	generation uint32
}

// dial opens a session in a network namespace (nil: the process's own).
func dial(ns *netns.Handle, family nftables.TableFamily, table string) (*session, error) {
	s := &session{table: &nftables.Table{Family: family, Name: table}}
	options := []nftables.ConnOption{nftables.AsLasting(), nftables.WithSockOptions(func(nl *netlink.Conn) error {
		s.nl = nl
		return nil
	})}
	if ns != nil {
		options = append(options, nftables.WithNetNSFd(ns.Fd()))
	}
	var err error
	if s.kernel, err = nftables.New(options...); err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	if s.gathered, err = nftables.New(nftables.WithTestDial(s.take)); err != nil {
		s.close()
		return nil, fmt.Errorf("gather transaction: %w", err)
	}
	return s, nil
}

// close closes the socket, without waiting for it: while the kernel has something to free that any transaction removed, the
// end of a socket waits for an RCU grace period, ten milliseconds and more (nft_rcv_nl_event in nf_tables_api.c). Nothing
// is lost, since each commit was answered.
func (s *session) close() {
	go func() { _ = s.kernel.CloseLasting() }()
}

// install makes the table, its sets and its chains where they are missing, and sets the rules of its chains anew.
func (s *session) install(rs ruleset) error {
	s.gathered.AddTable(s.table)
	for i, st := range rs.sets {
		if err := s.gathered.AddSet(s.set(st, uint32(i)+1), nil); err != nil {
			return fmt.Errorf("encode set %q: %w", st.name, err)
		}
	}
	for _, c := range rs.chains {
		base := &nftables.Chain{Name: c.name, Table: s.table, Type: c.kind, Hooknum: c.hook, Priority: c.priority, Device: c.device}
		if c.hook != nil {
			policy := nftables.ChainPolicyAccept
			base.Policy = &policy
		}
		s.gathered.AddChain(base)
	}
	for _, c := range rs.chains {
		at := &nftables.Chain{Name: c.name, Table: s.table}
		s.gathered.FlushChain(at)
		for _, r := range c.rules {
			s.gathered.AddRule(&nftables.Rule{Table: s.table, Chain: at, Exprs: r.statements, UserData: commentData(r.comment)})
		}
	}
	return nil
}

// set returns the library's form of a set. IDs count within a transaction: the library would take a global counter, which
// two goroutines may not touch at once.
func (s *session) set(st set, id uint32) *nftables.Set {
	l := &nftables.Set{
		Table: s.table, ID: id, Name: st.name, KeyType: st.key, Interval: st.interval,
		Concatenation: st.interval && len(nftables.ConcatSetTypeElements(st.key)) > 1,
		KeyByteOrder:  binaryutil.BigEndian,
	}
	if st.key.Name == nftables.TypeIFName.Name {
		l.KeyByteOrder = binaryutil.NativeEndian // how nft reads names of interfaces
	}
	if st.value != nil {
		l.IsMap, l.DataType = true, *st.value
	}
	return l
}

// commentData is a rule's comment as nft and iptables store it.
func commentData(comment string) []byte {
	if comment == "" {
		return nil
	}
	return userdata.AppendString(nil, userdata.TypeComment, comment)
}

// add and remove gather elements for the next commit. Adding one that is there already, the same, is good; removing one
// that is not makes the transaction fail.
func (s *session) add(list []element) error { return s.change(list, s.gathered.SetAddElements) }

func (s *session) remove(list []element) error { return s.change(list, s.gathered.SetDeleteElements) }

// maxElements is how many elements go into one message: the length of an attribute has 16 bits.
const maxElements = 256

func (s *session) change(list []element, do func(*nftables.Set, []nftables.SetElement) error) error {
	for _, elements := range bySet(list) {
		at := &nftables.Set{Table: s.table, Name: elements[0].set}
		for part := range slices.Chunk(elements, maxElements) {
			var encoded []nftables.SetElement
			for _, e := range part {
				encoded = append(encoded, e.encode()...)
			}
			if err := do(at, encoded); err != nil {
				return fmt.Errorf("encode elements of %q: %w", at.Name, err)
			}
		}
	}
	return nil
}

// concatenatedIntervals tells whether a set's intervals have both ends in one element.
func concatenatedIntervals(set string) bool {
	for _, v := range []ipVersion{ip4, ip6} {
		if set == setOwn+v.suffix() || set == setTrusted+v.suffix() {
			return true
		}
	}
	return false
}

// encode returns the library's form of an element: two elements for an interval of a plain set.
func (e element) encode() []nftables.SetElement {
	first := nftables.SetElement{
		Key: []byte(e.key), Val: []byte(e.value), VerdictData: e.verdict, Comment: e.comment,
	}
	switch {
	case e.end == "":
		return []nftables.SetElement{first}
	case concatenatedIntervals(e.set):
		first.KeyEnd = []byte(e.end)
		return []nftables.SetElement{first}
	default:
		return []nftables.SetElement{first, {Key: []byte(e.end), IntervalEnd: true}}
	}
}

// errInterrupted is returned inside when a list changed while the kernel gave it (NLM_F_DUMP_INTR).
var errInterrupted = errors.New("list changed while it was read")

// list asks the kernel for a list of objects, again while it changes on the way.
func (s *session) list(message uint16, family nftables.TableFamily, attributes ...netlink.Attribute) ([]netlink.Message, error) {
	data, err := netlink.MarshalAttributes(attributes)
	if err != nil {
		return nil, err
	}
	request := netlink.Message{
		Header: netlink.Header{
			Type:  netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | message),
			Flags: netlink.Request | netlink.Dump,
		},
		Data: append([]byte{byte(family), unix.NFNETLINK_V0, 0, 0}, data...),
	}
	for range 100 {
		replies, err := s.nl.Execute(request)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(replies, func(m netlink.Message) bool { return m.Header.Flags&netlink.DumpInterrupted != 0 }) {
			return replies, nil
		}
	}
	return nil, errInterrupted
}

// elements returns all elements of the sets. It returns an error that wraps unix.ENOENT if the table or a set is missing.
func (s *session) elements(sets ...string) ([]element, error) {
	var all []element
	for _, set := range sets {
		replies, err := s.list(unix.NFT_MSG_GETSETELEM, s.table.Family,
			netlink.Attribute{Type: unix.NFTA_SET_ELEM_LIST_TABLE, Data: []byte(s.table.Name + "\x00")},
			netlink.Attribute{Type: unix.NFTA_SET_ELEM_LIST_SET, Data: []byte(set + "\x00")})
		if err != nil {
			return nil, fmt.Errorf("list elements of %q: %w", set, err)
		}
		found, err := decodeElements(set, replies)
		if err != nil {
			return nil, fmt.Errorf("list elements of %q: %w", set, err)
		}
		all = append(all, found...)
	}
	return all, nil
}

// present returns the elements of those of the sets that there are, and tells whether any is missing: an older program made a table
// with fewer of them.
func (s *session) present(sets ...string) (all []element, missing bool, err error) {
	for _, set := range sets {
		some, err := s.elements(set)
		switch {
		case errors.Is(err, unix.ENOENT):
			missing = true
		case err != nil:
			return nil, missing, err
		}
		all = append(all, some...)
	}
	return all, missing, nil
}

// decodeElements reads the elements out of NFT_MSG_NEWSETELEM messages.
func decodeElements(set string, replies []netlink.Message) ([]element, error) {
	var list, ends []element
	for _, m := range replies {
		if len(m.Data) < 4 {
			return nil, errors.New("short message")
		}
		err := eachAttribute(m.Data[4:], func(kind uint16, elements []byte) error {
			if kind != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
				return nil
			}
			return eachAttribute(elements, func(_ uint16, data []byte) error {
				e, end, err := decodeElement(data)
				e.set = set
				if end {
					ends = append(ends, e)
				} else {
					list = append(list, e)
				}
				return err
			})
		})
		if err != nil {
			return nil, err
		}
	}
	return pair(once(list), ends), nil
}

// once leaves out what is listed again: the kernel begins anew when a hash grows while it lists it (nft_rhash_walk).
func once(list []element) []element {
	seen := make(map[string]bool, len(list))
	return slices.DeleteFunc(list, func(e element) bool {
		again := seen[e.key]
		seen[e.key] = true
		return again
	})
}

// pair gives each start of an interval the nearest end behind it: the kernel lists the two apart.
func pair(starts, ends []element) []element {
	for i := range starts {
		for _, e := range ends {
			if e.key > starts[i].key && (starts[i].end == "" || e.key < starts[i].end) {
				starts[i].end = e.key
			}
		}
	}
	return starts
}

// decodeElement reads one element, and tells whether it is only the end of an interval.
func decodeElement(data []byte) (e element, end bool, err error) {
	value := func(b []byte) (v []byte, verdict *expr.Verdict, err error) {
		err = eachAttribute(b, func(kind uint16, data []byte) error {
			switch kind {
			case unix.NFTA_DATA_VALUE:
				v = data
			case unix.NFTA_DATA_VERDICT:
				verdict = &expr.Verdict{}
				return eachAttribute(data, func(kind uint16, data []byte) error {
					switch kind {
					case unix.NFTA_VERDICT_CODE:
						verdict.Kind = expr.VerdictKind(int32(binary.BigEndian.Uint32(data)))
					case unix.NFTA_VERDICT_CHAIN:
						verdict.Chain = string(bytes.TrimRight(data, "\x00"))
					}
					return nil
				})
			}
			return nil
		})
		return v, verdict, err
	}
	err = eachAttribute(data, func(kind uint16, data []byte) error {
		var v []byte
		var err error
		switch kind {
		case unix.NFTA_SET_ELEM_KEY:
			v, _, err = value(data)
			e.key = string(v)
		case nftables.NFTA_SET_ELEM_KEY_END:
			v, _, err = value(data)
			e.end = string(v)
		case unix.NFTA_SET_ELEM_DATA:
			v, e.verdict, err = value(data)
			e.value = string(v)
		case unix.NFTA_SET_ELEM_FLAGS:
			end = binary.BigEndian.Uint32(data)&unix.NFT_SET_ELEM_INTERVAL_END != 0
		case unix.NFTA_SET_ELEM_USERDATA:
			e.comment, _ = userdata.GetString(data, userdata.NFTNL_UDATA_SET_ELEM_COMMENT)
		}
		return err
	})
	return e, end, err
}

// eachAttribute calls f with each attribute of a message or of another attribute.
func eachAttribute(data []byte, f func(kind uint16, data []byte) error) error {
	d, err := netlink.NewAttributeDecoder(data)
	if err != nil {
		return err
	}
	for d.Next() {
		if err := f(d.Type(), d.Bytes()); err != nil {
			return err
		}
	}
	return d.Err()
}
