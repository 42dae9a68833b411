package engine

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/opencontainers/cgroups"
	devices "github.com/opencontainers/cgroups/devices/config"
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

// cgroupRule translates one --device-cgroup-rule, such as "c 10:200 rwm", whose form has been checked.
func cgroupRule(text string) (devices.Rule, error) {
	fields := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ':' })
	if len(fields) != 4 || len(fields[0]) != 1 {
		return devices.Rule{}, fmt.Errorf("invalid device cgroup format '%s'", text)
	}
	rule := devices.Rule{Type: devices.Type(fields[0][0]), Permissions: devices.Permissions(fields[3]), Allow: true}
	for i, to := range []*int64{&rule.Major, &rule.Minor} {
		if *to = devices.Wildcard; fields[1+i] == "*" {
			continue
		}
		n, err := strconv.ParseInt(fields[1+i], 10, 32)
		if err != nil {
			return devices.Rule{}, fmt.Errorf("invalid device cgroup format '%s'", text)
		}
		*to = n
	}
	return rule, nil
}
