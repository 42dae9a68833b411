package images

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	maxMembers = 100_000 // of an archive of images
	maxLinks   = 8       // from one member to the next; legacy archives have one
)

// archive is the content of a tar of images, spooled into ingest/: its parts come in any order and may be read from a pipe.
type archive struct {
	in      *ingest
	members map[string]member
}

// member is a regular file of an archive, or a link to one.
type member struct {
	v1.Descriptor        // digest and size
	file          string // where it was spooled
	link          string // instead: the member that it is
}

// spool reads an archive, compressed in any way. The caller removes it.
func (in *ingest) spool(ctx context.Context, r io.Reader) (*archive, error) {
	a := &archive{in: in, members: make(map[string]member)}
	if err := a.fill(&interruptible{ctx: ctx, r: r}); err != nil {
		a.remove()
		return nil, err
	}
	return a, nil
}

// fill takes all members of a tar.
func (a *archive) fill(r io.Reader) error {
	plain, _, err := decompress(r)
	if err != nil {
		return err
	}
	defer plain.Close()
	t := tar.NewReader(plain)
	for range maxMembers {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return brokenTar(err)
		}
		if err := a.add(h, t); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: archive of more than %d files", ErrInvalid, maxMembers)
}

// brokenTar tells a tar that is none from one that could not be read.
func brokenTar(err error) error {
	if errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: not a tar archive, or a broken one: %w", ErrInvalid, err)
	}
	return err
}

// add takes one member. A later one replaces an earlier one of the same name, as when a tar is unpacked.
func (a *archive) add(h *tar.Header, r io.Reader) error {
	name := memberName(h.Name)
	switch h.Typeflag {
	case tar.TypeReg:
	case tar.TypeSymlink:
		a.set(name, member{link: memberName(path.Join(path.Dir(name), h.Linkname))})
		return nil
	case tar.TypeLink:
		a.set(name, member{link: memberName(h.Linkname)})
		return nil
	case tar.TypeGNUSparse:
		return fmt.Errorf("%w: %q is a sparse file", ErrInvalid, clip(name))
	default:
		return nil
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") { // its holes cost the sender nothing
			return fmt.Errorf("%w: %q is a sparse file", ErrInvalid, clip(name))
		}
	}
	b, err := a.in.create()
	if err != nil {
		return err
	}
	defer b.file.Close()
	a.set(name, member{file: b.file.Name()})
	if _, err := io.Copy(b, r); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("%w: archive ends in the middle of %q", ErrInvalid, clip(name))
		}
		return fmt.Errorf("store %q: %w", clip(name), err)
	}
	a.members[name] = member{file: b.file.Name(), Descriptor: v1.Descriptor{Digest: digest.Digest(b.digest()), Size: b.size}}
	return nil
}

func (a *archive) set(name string, m member) {
	if old := a.members[name]; old.file != "" {
		os.Remove(old.file)
	}
	a.members[name] = m
}

// remove removes what was spooled and did not become a blob.
func (a *archive) remove() {
	for _, m := range a.members {
		if m.file != "" {
			os.Remove(m.file)
		}
	}
}

// memberName gives every member one name. It is never used as a path of this machine.
func memberName(s string) string { return strings.TrimPrefix(path.Clean("/"+s), "/") }

// blobName is the member that holds a blob in an archive of an OCI layout.
func blobName(d digest.Digest) string { return blobsDir + "/" + d.Encoded() }

// find returns a member, through links.
func (a *archive) find(name string) (member, error) {
	name = memberName(name)
	at := name
	for range maxLinks {
		m, ok := a.members[at]
		if !ok {
			return member{}, fmt.Errorf("%w: archive lacks %q", ErrInvalid, clip(name))
		}
		if m.link == "" {
			return m, nil
		}
		at = m.link
	}
	return member{}, fmt.Errorf("%w: archive has a cycle of links at %q", ErrInvalid, clip(name))
}

// read returns the content of a member that is a document.
func (a *archive) read(name string) ([]byte, error) {
	m, err := a.find(name)
	if err != nil {
		return nil, err
	}
	return readSmall(a.spooled(m))
}

// blob returns the member that holds the blob, which has been hashed when it was spooled.
func (a *archive) blob(d v1.Descriptor) (member, error) {
	if err := checkDescriptor(d); err != nil {
		return member{}, err
	}
	m, err := a.find(blobName(d.Digest))
	if err != nil {
		return member{}, err
	}
	if m.Digest != d.Digest || m.Size != d.Size {
		return member{}, fmt.Errorf("%w: blob %s of %d bytes has the digest %s and %d bytes", ErrInvalid, d.Digest, d.Size, m.Digest, m.Size)
	}
	return m, nil
}

// document implements documents.
func (a *archive) document(_ context.Context, d v1.Descriptor) ([]byte, error) {
	m, err := a.blob(d)
	if err != nil {
		return nil, err
	}
	return readSmall(a.spooled(m))
}

// has implements documents.
func (a *archive) has(d v1.Descriptor) bool {
	_, err := a.find(blobName(d.Digest))
	return err == nil
}

var _ documents = (*archive)(nil)

// spooled returns where the bytes of a member are: in ingest/, or a blob already if another image has it too.
func (a *archive) spooled(m member) string {
	if a.in.s.has(m.Descriptor) {
		return a.in.s.blobPath(m.Digest.String())
	}
	return m.file
}

// keep makes a member a blob of the store. Two images may have it in common.
func (a *archive) keep(m member) error {
	if a.in.s.has(m.Descriptor) {
		return nil
	}
	f, err := os.OpenFile(m.file, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("store blob %s: %w", m.Digest, err)
	}
	return a.in.s.place(f, m.Descriptor)
}
