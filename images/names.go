package images

import (
	"slices"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// nameOf returns the name of an entry of index.json, if it has one.
func nameOf(d v1.Descriptor) (Reference, bool) {
	r, err := ParseReference(d.Annotations[annotateRef])
	if err != nil {
		return Reference{}, false
	}
	return r.WithDefaultTag(), true
}

// setName makes the name lead to the image of d, and to no other. An image that so loses its last name keeps an entry
// without one.
func setName(index *v1.Index, name string, d v1.Descriptor, id string) {
	dropName(index, name)
	d = v1.Descriptor{
		MediaType: d.MediaType, Digest: d.Digest, Size: d.Size, Platform: d.Platform,
		Annotations: map[string]string{annotateID: id},
	}
	// The nameless entry of the same image has done its duty.
	index.Manifests = slices.DeleteFunc(index.Manifests, func(e v1.Descriptor) bool {
		_, named := nameOf(e)
		return !named && sameImage(e, d)
	})
	if name != "" {
		d.Annotations[annotateRef] = name
	} else if slices.ContainsFunc(index.Manifests, func(e v1.Descriptor) bool { return sameImage(e, d) }) {
		return
	}
	index.Manifests = append(index.Manifests, d)
}

// dropName takes a name away, leaving an entry without a name if it was the image's last.
func dropName(index *v1.Index, name string) {
	if name == "" {
		return
	}
	i := slices.IndexFunc(index.Manifests, func(e v1.Descriptor) bool {
		r, ok := nameOf(e)
		return ok && r.key() == name
	})
	if i < 0 {
		return
	}
	old := index.Manifests[i]
	index.Manifests = slices.Delete(index.Manifests, i, i+1)
	if !slices.ContainsFunc(index.Manifests, func(e v1.Descriptor) bool { return sameImage(e, old) }) {
		delete(old.Annotations, annotateRef)
		index.Manifests = append(index.Manifests, old)
	}
}

// sameImage tells whether two entries are the same image. Two manifests of one configuration are: they differ in how their
// layers are compressed.
func sameImage(a, b v1.Descriptor) bool {
	id := a.Annotations[annotateID]
	return a.Digest == b.Digest || id != "" && id == b.Annotations[annotateID]
}
