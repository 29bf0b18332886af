package realsrv_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/testca"
)

func TestChromium(t *testing.T) {
	realsrv.Need(t, "chromium")
	m := material(t, testca.Leaf{})
	srv := realsrv.Nginx{TLS: m, Body: "<p id=x></p><script>x.textContent = location.protocol + 6 * 7</script>"}.Start(t)
	_, port, err := net.SplitHostPort(srv.HTTPS)
	require.NoError(t, err)
	hosts := map[string]string{host: "127.0.0.1"}
	tests := []struct {
		name, ca, url string
		shown         bool
	}{
		{"trusted", m.CA, "https://" + host + ":" + port, true},
		{"wrong name", m.CA, "https://" + srv.HTTPS, false},
		{"unknown authority", "", "https://" + host + ":" + port, false},
		{"elsewhere", m.CA, "https://example.org:" + port, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dom, err := realsrv.Chromium{CA: tt.ca, Hosts: hosts}.Prepare(t).DOM(t, tt.url)
			require.NoError(t, err, dom)
			if tt.shown {
				assert.Contains(t, dom, `<p id="x">https:42</p>`)
			} else {
				assert.NotContains(t, dom, "https:42")
			}
		})
	}
}
