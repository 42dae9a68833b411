package images

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"
)

// newTransport returns connections that give up on a registry that does not answer.
func newTransport(patience time.Duration) *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: patience}).DialContext,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   patience,
		ResponseHeaderTimeout: patience,
		MaxIdleConnsPerHost:   maxDownloads,
		IdleConnTimeout:       patience,
		ForceAttemptHTTP2:     true,
		// What a blob is compressed with is the image's affair: a response is never decompressed on the way.
		DisableCompression: true,
	}
}

// guard is what every request passes, those of go-containerregistry and redirects included. It keeps the user's credentials
// with the registry that they are for: a realm or a redirect may name any host (CVE-2020-15157, CVE-2019-10214).
type guard struct {
	inner  http.RoundTripper
	host   string // of the registry, with its port
	secret bool   // the user has credentials for it
}

func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	registry, to := hostname(g.host), req.URL.Hostname()
	if req.URL.Scheme != "https" && (!isLoopback(registry) || !isLoopback(to)) {
		return nil, fmt.Errorf("%w: %s is not asked without TLS", errRefused, req.URL.Host)
	}
	carries := req.Header.Get("Authorization") != "" || req.Body != nil && req.Body != http.NoBody
	if g.secret && carries && !sameSite(registry, to) {
		return nil, fmt.Errorf("%w: %s wants the credentials for %s", errRefused, req.URL.Host, g.host)
	}
	return g.inner.RoundTrip(req)
}

// errRefused is returned when a registry asks for what would be unsafe.
var errRefused = errors.New("refused")

func hostname(hostport string) string {
	return (&url.URL{Host: hostport}).Hostname()
}

// isLoopback tells whether no packet to the host leaves this machine: the only case in which Docker talks without TLS.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// sameSite tells whether two hosts belong to one owner: registry.gitlab.com and gitlab.com, docker.io and auth.docker.io.
func sameSite(a, b string) bool {
	a, b = strings.ToLower(a), strings.ToLower(b)
	if a == b {
		return true
	}
	sa, err1 := publicsuffix.EffectiveTLDPlusOne(a)
	sb, err2 := publicsuffix.EffectiveTLDPlusOne(b)
	return err1 == nil && err2 == nil && sa == sb && !isAddress(a) && !isAddress(b)
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}
