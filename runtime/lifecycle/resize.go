package lifecycle

import (
	"ctr/runtime/attach"
	"ctr/runtime/container"
)

// resized writes in the journal which sizes a container's terminal gets. The one that it starts with its monitor writes down.
func (in *Installation) resized(c *container.Container) func(attach.Size) {
	return func(size attach.Size) { in.NotifySize(c, size) }
}
