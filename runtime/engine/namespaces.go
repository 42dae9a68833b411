package engine

import (
	"github.com/opencontainers/runc/libcontainer/configs"

	"ctr/runtime/container"
)

// namespaces lists those that the container gets or joins. A kind that is not listed is the caller's.
func namespaces(c Config) configs.Namespaces {
	ns := configs.Namespaces{{Type: configs.NEWNS}}
	for _, n := range []struct {
		kind configs.NamespaceType
		path string
	}{
		{configs.NEWNET, c.NetNS},
		{configs.NEWPID, c.PIDNS},
		{configs.NEWIPC, c.IPCNS},
		{configs.NEWUTS, c.UTSNS},
	} {
		if n.path != HostNS {
			ns = append(ns, configs.Namespace{Type: n.kind, Path: n.path})
		}
	}
	if c.Spec.Namespaces.Cgroup != container.ModeHost {
		ns = append(ns, configs.Namespace{Type: configs.NEWCGROUP})
	}
	return ns
}
