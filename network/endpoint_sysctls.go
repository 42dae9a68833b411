package network

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// setting is a setting of the kernel's network, its key written with slashes below net.
type setting struct{ key, value string }

// placeholder stands for the interface's name in the settings of an endpoint.
const placeholder = "IFNAME"

// sysctls reads the settings that the user wants for an endpoint's interface: net.FAMILY.GROUP.IFNAME.KEY=VALUE, with commas
// between. Nothing else of the container is set that way: for that there is --sysctl.
func (e EndpointSpec) sysctls(ifname string) ([]setting, error) {
	text, ok := e.DriverOpts[OptEndpointSysctls]
	if !ok {
		return nil, nil
	}
	var all []setting
	for word := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(word, "=")
		path := strings.Split(key, ".")
		wrong := value == "" || len(path) != 5 || path[0] != "net" || path[3] != placeholder
		for _, part := range path {
			wrong = wrong || part == "" || strings.Trim(part, lettersOfSettings) != ""
		}
		if wrong {
			return nil, fmt.Errorf("%w %s=%q: want net.ipv4.conf.%s.KEY=VALUE, with commas between", ErrInvalid, OptEndpointSysctls, text, placeholder)
		}
		path[3] = ifname
		all = append(all, setting{strings.Join(path[1:], "/"), value})
	}
	return all, nil
}

const lettersOfSettings = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

// setSysctls applies what the user wants of the interface, over what we do.
func (a *attachment) setSysctls() error {
	all, err := a.spec.sysctls(a.Interface)
	if err != nil {
		return err
	}
	for _, s := range all {
		if _, err := os.Stat(sysctls + s.key); errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("set sysctl: this kernel has no net.%s", strings.ReplaceAll(s.key, "/", "."))
		}
		if err := setSysctl(s.key, s.value); err != nil {
			return err
		}
	}
	return nil
}
