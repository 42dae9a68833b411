package images

import (
	"context"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// User is a container that an image is used by.
type User struct {
	ID      string
	Running bool
}

// Removed is one thing that Remove did: either a name went, or the image itself.
type Removed struct {
	Untagged string // as Docker prints it: busybox:latest, busybox@sha256:<hex>
	Deleted  string // the image's ID
	// Chains, with Deleted: the chain IDs of its layers that no other image has, the top one first. The caller removes those
	// that it unpacked and no container uses.
	Chains []string
}

// Remove takes a name away, and the image with its last name; or, by ID, the image with its names. As in Docker, force is
// needed to take the last name of an image that containers use, and to remove by ID an image with names in several
// repositories or that stopped containers use; an image that a running container uses is not removed at all. inUse tells
// which containers use an image; nil: none. It returns ErrNotFound, ErrAmbiguous or ErrConflict, and then nothing was done.
func (s *Store) Remove(ctx context.Context, ref string, force bool, inUse func(id string) []User) ([]Removed, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	var done []Removed
	err := s.update(func(index *v1.Index) error {
		id, err := s.lookup(*index, ref)
		if err != nil {
			return err
		}
		r := removal{index: index, id: id, force: force, names: s.namesOf(*index, id)}
		if inUse != nil {
			r.users = inUse(id)
		}
		if strings.HasPrefix(id, "sha256:"+strings.TrimPrefix(ref, "sha256:")) {
			err = r.byID()
		} else {
			err = r.byName(ref)
		}
		if err != nil {
			return err
		}
		if r.deleted {
			r.done = append(r.done, s.drop(index, id))
		}
		done = r.done
		return nil
	})
	if err != nil {
		return nil, err
	}
	return done, s.collect()
}

// namesOf returns all names of an image, digests included.
func (s *Store) namesOf(index v1.Index, id string) []Reference {
	var names []Reference
	for _, d := range index.Manifests {
		name, ok := nameOf(d)
		if have, err := s.idOf(d); ok && err == nil && have == id {
			names = append(names, name)
		}
	}
	return names
}

// drop takes all entries of an image out of the index.
func (s *Store) drop(index *v1.Index, id string) Removed {
	gone := Removed{Deleted: id}
	var chains []string
	if i, err := s.image(*index, id); err == nil { // a damaged image can be removed all the same
		chains = i.chains()
	}
	index.Manifests = slices.DeleteFunc(index.Manifests, func(d v1.Descriptor) bool {
		have, err := s.idOf(d)
		return err == nil && have == id
	})
	others := make(map[string]bool)
	for _, i := range s.images(*index) {
		for _, c := range i.chains() {
			others[c] = true
		}
	}
	for _, c := range slices.Backward(chains) {
		if !others[c] {
			gone.Chains = append(gone.Chains, c)
		}
	}
	return gone
}

// removal decides what goes; its rules are those of moby's daemon/images/image_delete.go.
type removal struct {
	index   *v1.Index
	id      string
	names   []Reference
	users   []User
	force   bool
	done    []Removed
	deleted bool
}

// byName takes one name away. The image goes too if no other is left.
func (r *removal) byName(ref string) error {
	name, err := ParseReference(ref)
	if err != nil {
		return err
	}
	name = name.WithDefaultTag()
	if !r.force && len(r.users) > 0 && r.oneRepository() {
		return fmt.Errorf("%w: unable to remove repository reference %q (must force) - container %s is using its referenced image %s",
			ErrConflict, ref, shortID(r.users[0].ID), shortID(r.id))
	}
	r.untag(func(n Reference) bool { return n.key() == name.key() })
	if name.Digest == "" && !slices.ContainsFunc(r.names, func(n Reference) bool { return n.Digest == "" && n.Name() == name.Name() }) {
		// What the registry called it is of no use without a tag of that repository.
		r.untag(func(n Reference) bool { return n.Name() == name.Name() })
	}
	if len(r.names) > 0 {
		return nil
	}
	// Without a name, but in use by a running container, it stays.
	r.deleted = !slices.ContainsFunc(r.users, func(u User) bool { return u.Running })
	return nil
}

// byID takes the image away with all of its names.
func (r *removal) byID() error {
	for _, u := range r.users {
		if u.Running {
			return fmt.Errorf("%w: unable to delete %s (cannot be forced) - image is being used by running container %s",
				ErrConflict, shortID(r.id), shortID(u.ID))
		}
	}
	if !r.force {
		if !r.oneRepository() {
			return fmt.Errorf("%w: unable to delete %s (must be forced) - image is referenced in multiple repositories",
				ErrConflict, shortID(r.id))
		}
		if len(r.users) > 0 {
			return fmt.Errorf("%w: unable to delete %s (must be forced) - image is being used by stopped container %s",
				ErrConflict, shortID(r.id), shortID(r.users[0].ID))
		}
	}
	r.untag(func(Reference) bool { return true })
	r.deleted = true
	return nil
}

// untag takes the names away that are meant.
func (r *removal) untag(meant func(Reference) bool) {
	var rest []Reference
	for _, n := range r.names {
		if !meant(n) {
			rest = append(rest, n)
			continue
		}
		dropName(r.index, n.key())
		r.done = append(r.done, Removed{Untagged: n.Familiar()})
	}
	r.names = rest
}

// oneRepository tells whether all names are one tag, and digests of its repository.
func (r *removal) oneRepository() bool {
	tags := 0
	for _, n := range r.names {
		if n.Digest == "" {
			tags++
		}
		if n.Name() != r.names[0].Name() {
			return false
		}
	}
	return tags <= 1
}

// shortID returns the 12 digits by which users know an image or container.
func shortID(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	return id[:min(12, len(id))]
}
