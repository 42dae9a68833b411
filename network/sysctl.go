package network

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// sysctls is where the kernel's network settings are. They are those of the network namespace of the thread that looks.
const sysctls = "/proc/sys/net/"

// setSysctl sets net.<key>, written with slashes, unless it has the value already. A setting that this kernel does not have
// is what it is: all that we set is meant to switch something off, or means nothing without it.
func setSysctl(key, value string) error {
	path := sysctls + key
	old, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && strings.TrimSpace(string(old)) == value {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("set sysctl: %w", err)
	}
	defer f.Close()
	if _, err := f.WriteString(value); err != nil {
		return fmt.Errorf("set sysctl: %w", err)
	}
	return nil
}

// sysctl returns the value of net.<key>, unless this kernel does not have it.
func sysctl(key string) (value string, known bool) {
	text, err := os.ReadFile(sysctls + key)
	return strings.TrimSpace(string(text)), err == nil
}

// The settings that make a host a router.
const (
	forwarding4 = "ipv4/ip_forward"
	forwarding6 = "ipv6/conf/all/forwarding"
)

// forward turns on forwarding of IPv4, or of IPv6, between the links of the host.
//
// A host that forwards IPv6 ignores router advertisements on links with accept_ra=1 (ip-sysctl.rst), and so would lose its
// own default route by our doing. With 2 such a link goes on as before.
func forward(ipv6 bool) error {
	if !ipv6 {
		return setSysctl(forwarding4, "1")
	}
	if on, known := sysctl(forwarding6); !known || on == "1" {
		return nil
	}
	settings, err := filepath.Glob(sysctls + "ipv6/conf/*/accept_ra")
	if err != nil {
		return err
	}
	for _, path := range settings {
		link := filepath.Base(filepath.Dir(path))
		old, err := os.ReadFile(path)
		if link == "all" || link == "default" || link == "lo" || err != nil || strings.TrimSpace(string(old)) != "1" {
			continue
		}
		if err := setSysctl("ipv6/conf/"+link+"/accept_ra", "2"); err != nil {
			return err
		}
	}
	return setSysctl(forwarding6, "1")
}
