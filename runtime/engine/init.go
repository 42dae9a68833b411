package engine

import (
	"errors"
	"io"

	// The devices controller; without it a start with device rules fails.
	_ "github.com/opencontainers/cgroups/devices"
	"github.com/sirupsen/logrus"
)

// libcontainer tells through logrus what its errors tell as well.
func init() { logrus.SetOutput(io.Discard) }

// UseInit names the program that becomes the processes of containers: one that links less than all of ctr is there 1.3 ms
// sooner. It is for all that this process starts from then on. find returns the program's path; empty: this process's own binary is
// used. It returns find's error, or one if that cannot be.
func UseInit(find func() (path string, err error)) error {
	path, err := find()
	if err != nil {
		return err
	}
	if path == "" && !selfInit {
		return errors.New("this ctr was built without its init program: build it with make")
	}
	setInitPath(path)
	return nil
}
