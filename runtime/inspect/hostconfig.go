package inspect

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/blkiodev"
	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	apinet "github.com/moby/moby/api/types/network"

	"ctr/network"
	"ctr/runtime/container"
)

// defaultShm is the size of /dev/shm when nobody asks for another, in bytes.
const defaultShm = 64 << 20

func (c Container) hostConfig() *api.HostConfig {
	s := &c.Spec
	h := &api.HostConfig{
		Binds:           binds(s.Mounts),
		LogConfig:       logConfig(s.Log),
		NetworkMode:     c.networkMode(),
		PortBindings:    asked(s.Network.Ports),
		RestartPolicy:   api.RestartPolicy{Name: api.RestartPolicyMode(s.Restart.Name), MaximumRetryCount: s.Restart.MaxRetries},
		AutoRemove:      s.AutoRemove,
		CapAdd:          s.Security.CapAdd,
		CapDrop:         s.Security.CapDrop,
		CgroupnsMode:    api.CgroupnsModePrivate,
		DNS:             list(s.Network.Resolver.Servers),
		DNSOptions:      list(s.Network.Resolver.Options),
		DNSSearch:       list(s.Network.Resolver.Search),
		ExtraHosts:      extraHosts(s.Network.ExtraHosts),
		GroupAdd:        s.Groups,
		IpcMode:         api.IpcMode(mode(s.Namespaces.IPC, "private")),
		PidMode:         api.PidMode(mode(s.Namespaces.PID, "")),
		UTSMode:         api.UTSMode(mode(s.Namespaces.UTS, "")),
		UsernsMode:      api.UsernsMode(mode(s.Namespaces.User, "")),
		Privileged:      s.Security.Privileged,
		PublishAllPorts: s.Network.PublishAll,
		ReadonlyRootfs:  s.Rootfs.ReadOnly,
		SecurityOpt:     securityOpts(s.Security),
		Tmpfs:           tmpfs(s.Mounts),
		ShmSize:         s.Resources.ShmSize,
		Sysctls:         s.Security.Sysctls,
		Runtime:         "ctr",
		Resources:       resources(s),
		Mounts:          volumes(s.Mounts),
	}
	if h.RestartPolicy.Name == "" {
		h.RestartPolicy.Name = api.RestartPolicyDisabled
	}
	if s.Namespaces.Cgroup == container.ModeHost {
		h.CgroupnsMode = api.CgroupnsModeHost
	}
	if h.ShmSize == 0 {
		h.ShmSize = defaultShm
	}
	if s.Resources.OOMScoreAdj != nil {
		h.OomScoreAdj = *s.Resources.OOMScoreAdj
	}
	if s.Init {
		h.Init = &s.Init
	}
	h.MaskedPaths, h.ReadonlyPaths = list(c.MaskedPaths), list(c.ReadonlyPaths)
	return h
}

// mode is a namespace's mode in Docker's words.
func mode(m container.Mode, private string) string {
	if m == container.ModePrivate {
		return private
	}
	return string(m)
}

// networkMode is the name of the first network, or the mode.
func (c Container) networkMode() api.NetworkMode {
	n := c.Spec.Network
	if n.Mode != container.ModePrivate || len(n.Endpoints) == 0 {
		return api.NetworkMode(mode(n.Mode, "none"))
	}
	return api.NetworkMode(c.networkName(n.Endpoints[0]))
}

// networkName is the name of an endpoint's network, even if that has gone. Older records have no name.
func (c Container) networkName(e network.EndpointSpec) string {
	if e.Name == "" && c.NetworkName != nil {
		return cmp.Or(c.NetworkName(e.Network), e.Network)
	}
	return cmp.Or(e.Name, e.Network)
}

func resources(s *container.Spec) api.Resources {
	r := s.Resources
	out := api.Resources{
		CPUShares:         int64(r.CPUShares),
		Memory:            r.Memory,
		NanoCPUs:          r.NanoCPUs,
		CgroupParent:      r.CgroupParent,
		BlkioWeight:       r.BlkioWeight,
		CPUPeriod:         int64(r.CPUPeriod),
		CPUQuota:          r.CPUQuota,
		CpusetCpus:        r.CpusetCpus,
		CpusetMems:        r.CpusetMems,
		Devices:           []api.DeviceMapping{},
		MemoryReservation: r.MemoryReservation,
		MemorySwap:        r.MemorySwap,
		MemorySwappiness:  r.MemorySwappiness,
		PidsLimit:         r.PidsLimit,
		Ulimits:           []*units.Ulimit{},

		BlkioWeightDevice:    []*blkiodev.WeightDevice{},
		BlkioDeviceReadBps:   []*blkiodev.ThrottleDevice{},
		BlkioDeviceWriteBps:  []*blkiodev.ThrottleDevice{},
		BlkioDeviceReadIOps:  []*blkiodev.ThrottleDevice{},
		BlkioDeviceWriteIOps: []*blkiodev.ThrottleDevice{},
	}
	for _, d := range s.Security.Devices {
		out.Devices = append(out.Devices, api.DeviceMapping{PathOnHost: d.Source, PathInContainer: d.Target, CgroupPermissions: d.Permissions})
	}
	for _, u := range r.Ulimits {
		out.Ulimits = append(out.Ulimits, &units.Ulimit{Name: u.Name, Soft: u.Soft, Hard: u.Hard})
	}
	out.DeviceCgroupRules = s.Security.DeviceRules
	for _, t := range r.Throttles {
		list := map[container.ThrottleKind]*[]*blkiodev.ThrottleDevice{
			container.ReadBytes: &out.BlkioDeviceReadBps, container.WriteBytes: &out.BlkioDeviceWriteBps,
			container.ReadCalls: &out.BlkioDeviceReadIOps, container.WriteCalls: &out.BlkioDeviceWriteIOps,
		}[t.Kind]
		if t.Kind == container.IOWeight {
			out.BlkioWeightDevice = append(out.BlkioWeightDevice, &blkiodev.WeightDevice{Path: t.Device, Weight: uint16(t.Rate)})
		}
		if list != nil {
			*list = append(*list, &blkiodev.ThrottleDevice{Path: t.Device, Rate: t.Rate})
		}
	}
	if r.OOMKillDisable {
		out.OomKillDisable = &r.OOMKillDisable
	}
	return out
}

func logConfig(l container.Log) api.LogConfig {
	c := api.LogConfig{Type: l.Driver, Config: map[string]string{}}
	if c.Type == "" {
		c.Type = "json-file"
	}
	if l.Options != nil {
		c.Config = l.Options
		return c
	}
	if l.MaxSize > 0 { // a spec of before Options
		c.Config["max-size"] = strconv.FormatInt(l.MaxSize, 10)
	}
	if l.MaxFile > 0 {
		c.Config["max-file"] = strconv.Itoa(l.MaxFile)
	}
	return c
}

// binds are what Docker lists as SOURCE:TARGET[:MODE]: the binds and named volumes of -v.
func binds(mounts []container.Mount) []string {
	var out []string
	for _, m := range mounts {
		if !m.CreateSource || m.Source == "" || m.Anonymous {
			continue
		}
		var modes []string
		if m.ReadOnly {
			modes = append(modes, "ro")
		}
		if m.NoCopy {
			modes = append(modes, "nocopy")
		}
		if m.Propagation != "" {
			modes = append(modes, m.Propagation)
		}
		text := m.Source + ":" + m.Target
		if len(modes) > 0 {
			text += ":" + strings.Join(modes, ",")
		}
		out = append(out, text)
	}
	return out
}

// volumes are the mounts of --mount, which --tmpfs is none of.
func volumes(mounts []container.Mount) []mount.Mount {
	var out []mount.Mount
	for _, m := range mounts {
		if m.CreateSource {
			continue
		}
		one := mount.Mount{Type: mount.Type(m.Type), Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly}
		if m.Propagation != "" || m.NonRecursive || m.WritableBelow {
			one.BindOptions = &mount.BindOptions{
				Propagation: mount.Propagation(m.Propagation), NonRecursive: m.NonRecursive, ReadOnlyNonRecursive: m.WritableBelow,
			}
		}
		if m.NoCopy || m.Subpath != "" || len(m.VolumeLabels) > 0 || len(m.VolumeOptions) > 0 {
			one.VolumeOptions = &mount.VolumeOptions{NoCopy: m.NoCopy, Subpath: m.Subpath, Labels: m.VolumeLabels}
			if len(m.VolumeOptions) > 0 {
				one.VolumeOptions.DriverConfig = &mount.Driver{Options: m.VolumeOptions}
			}
		}
		out = append(out, one)
	}
	return out
}

func tmpfs(mounts []container.Mount) map[string]string {
	out := map[string]string{}
	for _, m := range mounts {
		if m.Type == container.MountTmpfs && m.CreateSource {
			out[m.Target] = strings.Join(m.Options, ",")
		}
	}
	return out
}

func securityOpts(s container.Security) []string {
	var out []string
	if s.NoNewPrivileges {
		out = append(out, "no-new-privileges")
	}
	if s.Seccomp != "" {
		out = append(out, "seccomp="+s.Seccomp)
	}
	if s.AppArmor != "" {
		out = append(out, "apparmor="+s.AppArmor)
	}
	return out
}

func extraHosts(hosts []network.ExtraHost) []string {
	out := []string{}
	for _, h := range hosts {
		ip := "host-gateway"
		if h.IP.IsValid() {
			ip = h.IP.String()
		}
		out = append(out, h.Name+":"+ip)
	}
	return out
}

// asked are the ports that are to be published.
func asked(ports []network.Port) apinet.PortMap {
	out := apinet.PortMap{}
	for _, p := range ports {
		b := apinet.PortBinding{HostIP: p.HostIP}
		if p.HostPort != 0 {
			b.HostPort = strconv.Itoa(int(p.HostPort))
		}
		if p.HostPortEnd > p.HostPort {
			b.HostPort += "-" + strconv.Itoa(int(p.HostPortEnd))
		}
		if key, ok := apinet.PortFrom(p.ContainerPort, apinet.IPProtocol(p.Protocol)); ok {
			out[key] = append(out[key], b)
		}
	}
	return out
}
