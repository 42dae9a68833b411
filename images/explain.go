package images

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// explain makes one line for the user out of what went wrong with a registry.
func explain(r Reference, err error) error {
	var (
		answer  *transport.Error
		dns     *net.DNSError
		unknown x509.UnknownAuthorityError
		network *net.OpError
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
	case errors.As(err, &network) && network.Op == "dial":
		return fmt.Errorf("pull %s: registry %s cannot be reached: %w", r.Familiar(), host, network)
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
		return denied{fmt.Errorf("%w for %s, repository does not exist or may require authorization", ErrDenied, r.familiarName())}
	case answer.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%w: manifest for %s not found", ErrNotFound, r.Familiar())
	case message != "":
		return fmt.Errorf("pull %s: registry %s: %s: %s", r.Familiar(), r.Domain, strings.ToLower(string(code)), message)
	}
	return fmt.Errorf("pull %s: registry %s: status %d %s", r.Familiar(), r.Domain, answer.StatusCode, http.StatusText(answer.StatusCode))
}

// denied says where credentials come from.
type denied struct{ error }

func (d denied) Unwrap() error { return d.error }

// Hint is the second line for the user.
func (denied) Hint() string {
	return "credentials are taken from ~/.docker/config.json, where `docker login` puts them"
}
