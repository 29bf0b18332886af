package securl_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/http/httptest"
	"net/netip"

	"github.com/alexedwards/scs/redisstore"
	"github.com/gomodule/redigo/redis"

	"github.com/connsec/connsec/securl"
)

// customers looks recipients up in a table.
type customers struct{ db *sql.DB }

func (c customers) Recipient(ctx context.Context, rid string) (securl.Recipient, error) {
	var r securl.Recipient
	err := c.db.QueryRowContext(ctx, "SELECT RID, UserName, Password FROM Recipients WHERE RID = @p1", rid).Scan(&r.ID, &r.UserName, &r.Password)
	if errors.Is(err, sql.ErrNoRows) {
		return securl.Recipient{}, securl.ErrNoRecipient
	}
	return r, err
}

var page = template.Must(template.New("").Parse(`<h1>Hello, {{.ID}}</h1><form method="post" action="/campaign/signout"><button>Sign out</button></form>`))

// A site asks whose page to show, and never reads that from its URL.
func site(w http.ResponseWriter, r *http.Request) {
	who, _ := securl.SignedIn(r.Context())
	_ = page.Execute(w, who)
}

// A visitor who opens a personal link is led to the sign-in page.
func ExampleGate() {
	gate, err := securl.Gate{
		Recipients: recipients{"ann": {ID: "ann", Password: "X03MO1qnZdYdgyfeuILPmQ=="}},
		Base:       "/campaign/",
		Public:     []string{"css/", "favicon.ico"},
		Login:      securl.LoginPage{Brand: "Example"},
	}.Handler(http.HandlerFunc(site))
	if err != nil {
		fmt.Println(err)
		return
	}
	w := httptest.NewRecorder()
	gate.ServeHTTP(w, httptest.NewRequest("GET", "https://www.example.com/campaign/ann", nil))
	login, _ := w.Result().Location()
	fmt.Println(w.Code, login.Path, login.Query().Get("rid"))

	w = httptest.NewRecorder()
	gate.ServeHTTP(w, httptest.NewRequest("GET", "http://www.example.com/campaign/ann", nil))
	fmt.Print(w.Code, " ", w.Body)
	// Output:
	// 303 /campaign/login ann
	// 403 This site is served over HTTPS only.
}

// Several nodes behind a proxy share their sessions in Redis, or in any other store of
// github.com/alexedwards/scs.
func ExampleGate_severalNodes() {
	pool := &redis.Pool{Dial: func() (redis.Conn, error) {
		return redis.Dial("tcp", "redis.corp.example:6379", redis.DialUseTLS(true))
	}}
	var db *sql.DB // of the campaign
	gate, err := securl.Gate{
		Recipients: customers{db},
		Sessions:   redisstore.New(pool),
		Name:       "spring-campaign",
		Base:       "/campaign/",
		Visitor:    securl.BehindProxies(netip.MustParsePrefix("10.0.0.0/28")),
	}.Handler(http.HandlerFunc(site))
	fmt.Println(gate != nil, err)
	// Output: true <nil>
}
