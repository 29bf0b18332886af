package securl

import (
	"net/http"
	"strings"
	"testing"
)

// FuzzStrip: by net/http's own reading, the site gets no cookie of a gate's and all others.
func FuzzStrip(f *testing.F) {
	c := cookieNames("/campaign/")
	for _, s := range []string{"a=b", c.session + "=x", "a=b; " + c.session + "=x; c=d", ";;" + c.form + "=;", " " + c.device + " =x;a", `a="b; ` + c.session + `=x"`, c.session, "=" + c.session, cookieNames("/other/").session + "=x", "__Host-securlx=y"} {
		f.Add(s, "z=1")
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		if strings.ContainsAny(one+two, "\r\n") {
			return // the server splits lines
		}
		before := &http.Request{Header: http.Header{"Cookie": {one, two}}}
		after := &http.Request{Header: stripCookies(before.Header)}
		if got := before.Header["Cookie"]; got[0] != one || got[1] != two {
			t.Fatal("the request itself was changed")
		}
		var want []http.Cookie
		for _, k := range before.Cookies() {
			if k.Name != cookieStem && !strings.HasPrefix(k.Name, cookieStem+"-") {
				want = append(want, http.Cookie{Name: k.Name, Value: k.Value})
			}
		}
		got := after.Cookies()
		if len(got) != len(want) {
			t.Fatalf("%q and %q became %q", one, two, after.Header["Cookie"])
		}
		for i, k := range got {
			if k.Name != want[i].Name || k.Value != want[i].Value {
				t.Fatalf("%q and %q became %q", one, two, after.Header["Cookie"])
			}
		}
	})
}

// FuzzDevice: no device is known but by the cookie as it was made, and no session token breaks
// its reading.
func FuzzDevice(f *testing.F) {
	clock := newClock()
	d, err := Gate{Recipients: people{}, Now: clock.now}.door()
	if err != nil {
		f.Fatal(err)
	}
	good, err := d.newDevice("ann")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add("..")
	f.Fuzz(func(t *testing.T, cookie string) {
		if id := d.deviceID(clock.now(), cookie, "ann"); id != "" && cookie != good {
			t.Fatalf("%q is a device", cookie)
		}
		token, rid := cookieNames("/").readSession(&http.Request{Header: http.Header{"Cookie": {"__Host-securl=" + cookie}}})
		if rid != "" && !validRID(rid) || strings.Contains(token, ".") {
			t.Fatalf("%q and %q", token, rid)
		}
	})
}
