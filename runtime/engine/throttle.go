package engine

import (
	"fmt"
	"os"

	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"

	"ctr/runtime/container"
)

// throttle sets how fast the container may read and write the host's block devices.
func throttle(asked []container.Throttle, out *cgroups.Resources) error {
	for _, t := range asked {
		var st unix.Stat_t
		if err := unix.Stat(t.Device, &st); err != nil {
			return fmt.Errorf("limit device: %w", &os.PathError{Op: "stat", Path: t.Device, Err: err})
		}
		if st.Mode&unix.S_IFMT != unix.S_IFBLK {
			return fmt.Errorf("limit device: %q is no block device", t.Device)
		}
		limit := cgroups.NewThrottleDevice(int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev)), t.Rate)
		list := map[container.ThrottleKind]*[]*cgroups.ThrottleDevice{
			container.ReadBytes: &out.BlkioThrottleReadBpsDevice, container.WriteBytes: &out.BlkioThrottleWriteBpsDevice,
			container.ReadCalls: &out.BlkioThrottleReadIOPSDevice, container.WriteCalls: &out.BlkioThrottleWriteIOPSDevice,
		}[t.Kind]
		if list == nil {
			return fmt.Errorf("limit device: unknown kind %q", t.Kind)
		}
		*list = append(*list, limit)
	}
	return nil
}
