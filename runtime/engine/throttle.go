package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

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
		if t.Kind == container.IOWeight {
			if err := checkBFQ(t.Device, st.Rdev); err != nil {
				return err
			}
			out.BlkioWeightDevice = append(out.BlkioWeightDevice,
				cgroups.NewWeightDevice(int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev)), uint16(t.Rate), 0))
			continue
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

// checkBFQ tells why a device has no weights. The kernel lets the scheduler bfq alone weigh single devices, and whole ones: it
// would answer EOPNOTSUPP or ENODEV.
func checkBFQ(device string, number uint64) error {
	queue := fmt.Sprintf("/sys/dev/block/%d:%d/queue/scheduler", unix.Major(number), unix.Minor(number))
	text, err := os.ReadFile(queue)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("weigh device: %q has no I/O scheduler: name the whole disk", device)
	case err != nil:
		return fmt.Errorf("weigh device: %w", err)
	case !strings.Contains(string(text), "[bfq]"):
		return fmt.Errorf("weigh device: the I/O scheduler of %q is not bfq: echo bfq >%s", device, queue)
	}
	return nil
}
