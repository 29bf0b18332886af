package page_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/realsrv/page"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A walk that asserts that nothing was complained about means something only if complaints are heard.
func TestComplaintsAreHeard(t *testing.T) {
	p := page.Open(t, realsrv.Chromium{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, `<title>x</title><link rel="icon" href="data:,"><img src="/gone.png"><script>console.log("fine"); console.error("bad"); throw new Error("thrown")</script>`)
	}))
	t.Cleanup(server.Close)
	require.NoError(t, chromedp.Do(p.Ctx, chromedp.Navigate(server.URL)))
	heard := p.Complaints()
	assert.Len(t, heard, 3, "%q", heard)
	assert.Contains(t, heard, "console.error")
	assert.Contains(t, fmt.Sprint(heard), "Uncaught")
	assert.Contains(t, fmt.Sprint(heard), "/gone.png")
	assert.Empty(t, p.Complaints(), "they are forgotten")
}
