package lifecycle

import (
	"strconv"

	"ctr/runtime/attach"
	"ctr/runtime/container"
)

// resized writes in the journal which sizes a container's terminal gets. Of a start the first one may come before "start".
func (in *Installation) resized(c *container.Container) func(attach.Size) {
	return func(size attach.Size) {
		in.Notify(c, "resize", "height", strconv.Itoa(int(size.Height)), "width", strconv.Itoa(int(size.Width)))
	}
}
