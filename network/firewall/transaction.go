package firewall

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Who changes rules looks at them first, and others do the same meanwhile: what to remove and what to add is right for what was
// seen only. So a look begins with the number of the kernel's generation of rules, and the transaction names it: the kernel
// refuses it with ERESTART if anybody, nft and iptables too, has changed any rule since (NFNL_BATCH_GENID; nft does the same).
// Without it a look beside somebody's transaction may see half of it, and what is then "put right" is right no more.

// attempts is how often a change is tried again because others change rules at the same time. Each refusal means that one of
// them got on.
const attempts = 1000

// update looks, gathers and commits (if there is anything to change), and does it again when another process was faster.
func (f *Firewall) update(gather func(*session) (changed bool, err error)) error {
	for range attempts {
		if err := f.updateOnce(gather); !errors.Is(err, unix.ERESTART) {
			return err
		}
	}
	return fmt.Errorf("somebody else changes rules all the time: %w", unix.ERESTART)
}

func (f *Firewall) updateOnce(gather func(*session) (bool, error)) error {
	s, err := dial(f.ns, nftables.TableFamilyINet, f.table)
	if err != nil {
		return err
	}
	defer s.close()
	if s.generation, err = s.currentGeneration(); err != nil {
		return err
	}
	changed, err := gather(s)
	if err == nil && changed {
		return s.commit()
	}
	// "There is no such table", too, is believed only if it was so all the time.
	if now, failed := s.currentGeneration(); failed == nil && now != s.generation {
		return unix.ERESTART
	}
	return err
}

// currentGeneration asks for the number of the kernel's rules, which each transaction of anybody changes.
func (s *session) currentGeneration() (uint32, error) {
	replies, err := s.nl.Execute(netlink.Message{
		Header: netlink.Header{
			Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETGEN), Flags: netlink.Request,
		},
		Data: []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, 0},
	})
	if err != nil {
		return 0, fmt.Errorf("ask for the generation of rules: %w", err)
	}
	var number uint32
	for _, m := range replies {
		if len(m.Data) < 4 {
			continue
		}
		err = errors.Join(err, eachAttribute(m.Data[4:], func(kind uint16, data []byte) error {
			if kind == unix.NFTA_GEN_ID && len(data) == 4 {
				number = binary.BigEndian.Uint32(data)
			}
			return nil
		}))
	}
	if number == 0 {
		err = errors.Join(err, errors.New("ask for the generation of rules: no answer"))
	}
	return number, err
}

// sendBuffer holds a transaction with some 10,000 elements; the default of 208 KiB some 1,500.
const sendBuffer = 4 << 20

// commit sends what was gathered: all of it comes into effect at once, or nothing. Where the session has looked at a generation,
// and it is not the kernel's any more, the error is ERESTART.
func (s *session) commit() error {
	s.batch = nil
	if err := s.gathered.Flush(); err != nil || len(s.batch) == 0 {
		return err
	}
	for i := range s.batch {
		h := &s.batch[i].Header
		h.Length, h.Sequence, h.PID = 0, 0, 0 // of the socket that is none
	}
	if s.generation != 0 {
		begin := &s.batch[0]
		attribute, err := netlink.MarshalAttributes([]netlink.Attribute{
			{Type: unix.NFNL_BATCH_GENID, Data: binary.BigEndian.AppendUint32(nil, s.generation)},
		})
		if err != nil {
			return err
		}
		begin.Data = append(begin.Data, attribute...)
	}
	if err := s.nl.SetWriteBuffer(sendBuffer); err != nil {
		return fmt.Errorf("enlarge send buffer: %w", err)
	}
	if _, err := s.nl.SendMessages(s.batch); err != nil {
		return fmt.Errorf("send transaction: %w", err)
	}
	if err := s.answers(); err != nil {
		return err
	}
	// The next one of this session comes after its own.
	if s.generation != 0 {
		s.generation = max(s.generation+1, 1)
	}
	return nil
}

// take is the socket of what is gathered: it keeps the transaction for commit, and answers nothing.
func (s *session) take(batch []netlink.Message) ([]netlink.Message, error) {
	s.batch = append(s.batch, batch...)
	return nil, io.EOF
}

// answers reads what the kernel says of a transaction: one message for each of its own, or a single one if it has refused the
// whole. All of it has come by the time the transaction is sent, since the sender's own system call carries it out.
func (s *session) answers() error {
	raw, err := s.nl.SyscallConn()
	if err != nil {
		return err
	}
	var errs []error
	buffer := make([]byte, unix.SizeofNlMsghdr+4) // behind the error comes the whole request, which is cut off
	err = raw.Control(func(fd uintptr) {
		for {
			n, _, err := unix.Recvfrom(int(fd), buffer, unix.MSG_DONTWAIT)
			switch {
			case errors.Is(err, unix.EINTR):
			case errors.Is(err, unix.EAGAIN):
				return
			case err != nil:
				errs = append(errs, os.NewSyscallError("recvfrom", err))
				return
			case n == len(buffer) && binary.NativeEndian.Uint16(buffer[4:]) == unix.NLMSG_ERROR:
				if number := int32(binary.NativeEndian.Uint32(buffer[unix.SizeofNlMsghdr:])); number != 0 {
					errs = append(errs, unix.Errno(-number))
				}
			}
		}
	})
	if err != nil {
		return err
	}
	if len(errs) > 0 {
		return errs[0] // those behind it follow from it
	}
	return nil
}
