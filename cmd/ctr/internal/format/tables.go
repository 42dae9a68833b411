package format

import "strings"

// The listings, with Docker's columns.
var (
	// Containers is `ps`; its rows are of type Container.
	Containers = Listing{
		columns: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}",
		heads: heads{
			"ID": "CONTAINER ID", "Image": "IMAGE", "Command": "COMMAND", "CreatedAt": "CREATED AT", "RunningFor": "CREATED",
			"Ports": "PORTS", "State": "STATE", "Status": "STATUS", "Size": "SIZE", "Names": "NAMES", "Labels": "LABELS",
			"Mounts": "MOUNTS", "LocalVolumes": "LOCAL VOLUMES", "Networks": "NETWORKS", "Platform": "PLATFORM",
			"HealthStatus": "HEALTH STATUS", "IPAddresses": "IP ADDRESSES",
		},
		quiet: "{{.ID}}",
		raw: "container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\ncreated_at: {{.CreatedAt}}\nstate: {{.State}}\nstatus: {{.Status}}\n" +
			"names: {{.Names}}\nlabels:{{pad .Labels 1 0}}\nports:{{pad .Ports 1 0}}\n",
	}
	// ContainersWithSize is `ps -s`.
	ContainersWithSize = Listing{
		columns: Containers.columns + "\t{{.Size}}", heads: Containers.heads, quiet: Containers.quiet, raw: Containers.raw + "size: {{.Size}}\n",
	}
	// ContainersUsage is the part of `system df -v` about containers.
	ContainersUsage = Listing{
		columns: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}", heads: Containers.heads,
	}

	// Images is `images`; its rows are of type Image.
	Images = Listing{
		columns: "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}",
		heads: heads{
			"Repository": "REPOSITORY", "Tag": "TAG", "ID": "IMAGE ID", "Digest": "DIGEST", "CreatedSince": "CREATED",
			"CreatedAt": "CREATED AT", "Size": "SIZE", "VirtualSize": "SIZE", "SharedSize": "SHARED SIZE", "UniqueSize": "UNIQUE SIZE",
			"Containers": "CONTAINERS",
		},
		quiet: "{{.ID}}",
		raw:   "repository: {{.Repository}}\ntag: {{.Tag}}\nimage_id: {{.ID}}\ncreated_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n",
	}
	// ImagesUsage is the part of `system df -v` about images.
	ImagesUsage = Listing{
		columns: "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}", heads: Images.heads,
	}
	// ImagesWithDigest is `images --digests`.
	ImagesWithDigest = Listing{
		columns: "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}", heads: Images.heads, quiet: Images.quiet,
		raw: Images.raw,
	}

	// Steps is `history`; its rows are of type Step.
	Steps = Listing{
		columns: "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
		heads: heads{
			"ID": "IMAGE", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "CreatedBy": "CREATED BY", "Size": "SIZE", "Comment": "COMMENT",
		},
		quiet: "{{.ID}}",
	}

	// StepsExact is `history --human=false`.
	StepsExact = Listing{columns: strings.Replace(Steps.columns, "CreatedSince", "CreatedAt", 1), heads: Steps.heads, quiet: Steps.quiet}

	// Networks is `network ls`; its rows are of type Network.
	Networks = Listing{
		columns: "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
		heads: heads{
			"ID": "NETWORK ID", "Name": "NAME", "Driver": "DRIVER", "Scope": "SCOPE", "IPv4": "IPV4", "IPv6": "IPV6",
			"Internal": "INTERNAL", "Labels": "LABELS", "CreatedAt": "CREATED AT",
		},
		quiet: "{{.ID}}",
		raw:   "network_id: {{.ID}}\nname: {{.Name}}\ndriver: {{.Driver}}\nscope: {{.Scope}}\n",
	}

	// Usages is `stats`; its rows are of type Usage.
	Usages = Listing{
		columns: "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}",
		heads: heads{
			"Container": "CONTAINER", "ID": "CONTAINER ID", "Name": "NAME", "CPUPerc": "CPU %", "MemUsage": "MEM USAGE / LIMIT",
			"MemPerc": "MEM %", "NetIO": "NET I/O", "BlockIO": "BLOCK I/O", "PIDs": "PIDS",
		},
		quiet: "{{.ID}}",
	}

	// Volumes is `volume ls`; its rows are of type Volume.
	Volumes = Listing{
		columns: "{{.Driver}}\t{{.Name}}",
		heads: heads{
			"Driver": "DRIVER", "Name": "VOLUME NAME", "Scope": "SCOPE", "Mountpoint": "MOUNTPOINT", "Labels": "LABELS", "Size": "SIZE",
			"Links": "LINKS", "Status": "STATUS", "Availability": "AVAILABILITY", "Group": "GROUP",
		},
		quiet: "{{.Name}}",
		raw:   "name: {{.Name}}\ndriver: {{.Driver}}\n",
	}
	// VolumesUsage is the part of `system df -v` about volumes.
	VolumesUsage = Listing{columns: "{{.Name}}\t{{.Links}}\t{{.Size}}", heads: Volumes.heads}

	// DiskUsages is `system df`; its rows are of type DiskUsage.
	DiskUsages = Listing{
		columns: "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
		heads: heads{
			"Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE", "Reclaimable": "RECLAIMABLE",
		},
		quiet: "{{.Type}}",
	}
)
