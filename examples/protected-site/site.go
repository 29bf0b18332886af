package main

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/connsec/connsec/securl"
)

// base is where the campaign lives on its server.
const base = "/campaign/"

//go:embed page.html site.css
var files embed.FS

var pages = template.Must(template.ParseFS(files, "page.html"))

// person is a recipient as the campaign begins.
type person struct {
	key, name, password string
	city, offer         string
	points              int
}

// people are the recipients. Their keys are random, as Circle's secure IDs are, so that nobody
// finds one by counting.
var people = []person{
	{"kq7dz4mwb3xv6hnp", "Amelie Laurent", "tulip-harbour-1804", "Lyon", "20 % off garden furniture", 1804},
	{"t5jrcy2sgf4ae7ul", "Bruno Keller", "copper-lantern-77", "Basel", "A free bicycle check", 310},
	{"m9wxh3vnq8dk2zpe", "Chloe Martin", "winter-orchard-42", "Nantes", "Two tickets for the botanical garden", 92},
}

// campaign is the recipients with their stored passwords and content objects, as tables of the
// customer's database would hold them.
type campaign struct {
	mu   sync.Mutex
	rows map[string]map[string]string // by recipient key
}

const passwordADOR = "Password"

func newCampaign() (*campaign, error) {
	c := &campaign{rows: map[string]map[string]string{}}
	for _, p := range people {
		stored, err := securl.Hasher{}.Hash(p.password)
		if err != nil {
			return nil, err
		}
		c.rows[p.key] = map[string]string{
			"Name": p.name, "City": p.city, "Offer": p.offer, "Points": fmt.Sprint(p.points), passwordADOR: stored,
		}
	}
	return c, nil
}

// Recipient implements [securl.Recipients].
func (c *campaign) Recipient(_ context.Context, rid string) (securl.Recipient, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	row, ok := c.rows[rid]
	if !ok {
		return securl.Recipient{}, securl.ErrNoRecipient
	}
	return securl.Recipient{ID: rid, Password: row[passwordADOR]}, nil
}

// Values implements [securl.ADORs]. The interface keeps the password back.
func (c *campaign) Values(_ context.Context, rid string, names []string) (map[string]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]string{}
	for name, value := range c.rows[rid] {
		if len(names) == 0 || slices.Contains(names, name) {
			out[name] = value
		}
	}
	return out, nil
}

// SetValues implements [securl.ADORs].
func (c *campaign) SetValues(_ context.Context, rid string, values map[string]string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	row := c.rows[rid]
	for name := range values {
		if _, ok := row[name]; !ok {
			return fmt.Errorf("%w: no content object %q", securl.ErrNotAccepted, name)
		}
	}
	maps.Copy(row, values)
	return nil
}

// fact and link are parts of a page.
type (
	fact struct{ Name, Value string }
	link struct{ Href, Text string }
)

type content struct {
	Base, Title, SignOut string
	Text                 []string
	Facts                []fact
	Links                []link
}

// site is the personalized site itself. It knows nothing of passwords and sessions: behind the
// gate, every request but those for public files has a recipient.
func (c *campaign) site(now func() time.Time) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+base+"css/site.css", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, files, "site.css")
	})
	mux.HandleFunc("GET "+base+"offer.html", c.personal(func(rid string, v map[string]string) content {
		return content{
			Title: "Your offer", Text: []string{v["Offer"] + ", for " + v["Name"] + " only."},
			Facts: []fact{{"Valid", "until " + now().AddDate(0, 1, 0).Format(time.DateOnly)}, {"Where", v["City"]}},
			Links: []link{{base + rid, "Back"}},
		}
	}))
	mux.HandleFunc("GET "+base, c.personal(func(rid string, v map[string]string) content {
		return content{
			Title: "Hello " + v["Name"], Text: []string{"Spring is here, and so is something for you."},
			Facts: []fact{{"City", v["City"]}, {"Points", v["Points"]}},
			Links: []link{{base + "offer.html?rid=" + rid, "See your offer"}},
		}
	}))
	return mux
}

// personal renders a page for whoever has signed in, whatever the address says.
func (c *campaign) personal(page func(rid string, values map[string]string) content) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		recipient, ok := securl.SignedIn(r.Context())
		if !ok {
			http.Error(w, "not signed in", http.StatusForbidden) // the gate does not let this happen
			return
		}
		values, err := c.Values(r.Context(), recipient.ID, []string{"Name", "City", "Offer", "Points"})
		if err != nil {
			http.Error(w, "this page cannot be shown", http.StatusInternalServerError)
			return
		}
		p := page(recipient.ID, values)
		p.Base, p.SignOut = base, base+"signout"
		var b bytes.Buffer
		if err := pages.Execute(&b, p); err != nil {
			http.Error(w, "this page cannot be shown", http.StatusInternalServerError)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; connect-src 'self'; img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		_, _ = w.Write(b.Bytes())
	}
}
