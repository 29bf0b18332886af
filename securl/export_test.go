package securl

import (
	"net/http"
	"time"
)

// SmallChunks makes a list be worked on in pieces of n bytes.
func SmallChunks(l List, n int) List {
	l.chunk = n
	return l
}

// SetFormTime makes a gate's handler wait for a form no longer than d.
func SetFormTime(h http.Handler, d time.Duration) {
	g := h.(*guard)
	g.pages.formTime = d
	for _, m := range g.mounts {
		if x, ok := m.handler.(*xmplAPI); ok {
			x.bodyTime = d
		}
	}
}
