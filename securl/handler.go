package securl

import (
	"context"
	"errors"
	"net/http"
)

// mount is a handler beside the site: for one path, or for all below it if it ends in a slash.
// It need not be below the base, and no session is asked for.
type mount struct {
	path    string
	handler http.Handler
}

type visitorKey struct{}

// visitorOf returns who sent a request that a mount serves.
func visitorOf(ctx context.Context) Visitor {
	v, _ := ctx.Value(visitorKey{}).(Visitor)
	return v
}

// Handler returns the gate before a site. It fails if the gate's setting is not sound.
func (g Gate) Handler(site http.Handler) (http.Handler, error) {
	return nil, errors.New("securl: not built yet")
}
