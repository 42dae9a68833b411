package images

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
