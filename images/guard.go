package images

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/net/publicsuffix"
	"golang.org/x/sys/unix"
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

// explain makes one line for the user out of what went wrong with a registry.
func explain(r Reference, err error) error {
	var (
		answer  *transport.Error
		dns     *net.DNSError
		unknown x509.UnknownAuthorityError
		request *url.Error
	)
	host := r.Domain
	switch {
	case errors.Is(err, ErrInvalid), errors.Is(err, ErrPlatform), errors.Is(err, ErrReference):
		return fmt.Errorf("pull %s: %w", r.Familiar(), err)
	case errors.As(err, &answer):
		return explainAnswer(r, answer)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("pull %s: %w", r.Familiar(), context.Canceled)
	case errors.As(err, &dns):
		return fmt.Errorf("pull %s: registry %s cannot be reached: %w", r.Familiar(), host, dns)
	case errors.As(err, &unknown):
		return fmt.Errorf("pull %s: registry %s: %w", r.Familiar(), host, unknown)
	case errors.Is(err, errStalled), errors.Is(err, errRefused):
		return fmt.Errorf("pull %s: registry %s: %w", r.Familiar(), host, err)
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ECONNREFUSED):
		if errors.As(err, &request) {
			err = request.Err
		}
		return fmt.Errorf("pull %s: registry %s cannot be reached: %w", r.Familiar(), host, err)
	case errors.As(err, &request):
		return fmt.Errorf("pull %s: registry %s: %w", r.Familiar(), host, request.Err)
	}
	return fmt.Errorf("pull %s: %w", r.Familiar(), err)
}

// explainAnswer says what Docker says to a registry's refusal.
func explainAnswer(r Reference, answer *transport.Error) error {
	code, message := transport.ErrorCode(""), ""
	if len(answer.Errors) > 0 {
		code, message = answer.Errors[0].Code, clip(answer.Errors[0].Message)
	}
	switch {
	case code == transport.ManifestUnknownErrorCode:
		return fmt.Errorf("%w: manifest for %s not found: manifest unknown", ErrNotFound, r.Familiar())
	case answer.StatusCode == http.StatusUnauthorized, answer.StatusCode == http.StatusForbidden,
		code == transport.NameUnknownErrorCode, code == transport.DeniedErrorCode, code == transport.UnauthorizedErrorCode:
		return fmt.Errorf("%w for %s, repository does not exist or may require authorization", ErrDenied, r.familiarName())
	case answer.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%w: manifest for %s not found", ErrNotFound, r.Familiar())
	case message != "":
		return fmt.Errorf("pull %s: registry %s: %s: %s", r.Familiar(), r.Domain, strings.ToLower(string(code)), message)
	}
	return fmt.Errorf("pull %s: registry %s: status %d %s", r.Familiar(), r.Domain, answer.StatusCode, http.StatusText(answer.StatusCode))
}
