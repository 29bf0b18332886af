package securl

import (
	"time"

	"github.com/connsec/connsec/tlscheck"
)

// LiveObservation is what a [Live] site answered. It holds neither tokens nor data.
type LiveObservation struct {
	Site     string        `json:"site"`
	At       time.Time     `json:"at"`
	Duration time.Duration `json:"duration"`
	SecURL   Setting       `json:"securl,omitempty"` // as the project says
	// TLS is what was seen of the site's certificate, TLS and HSTS.
	TLS tlscheck.HTTPSObservation `json:"tls"`
	// KnownRecipient: data was asked for of a recipient that the caller named.
	KnownRecipient bool `json:"known_recipient,omitempty"`

	Config  SiteConfig      `json:"config"`
	Login   LoginObserved   `json:"login"`
	Data    []DataAnswer    `json:"data,omitempty"`
	CORS    CORSAnswer      `json:"cors"`
	Cookies []CookieSeen    `json:"cookies,omitempty"`
	Guesses GuessesObserved `json:"guesses"`
	Token   TokenObserved   `json:"token"`
	Other   OtherObserved   `json:"other"`
}

// SiteConfig is what xmpcfg.js says, or the caller.
type SiteConfig struct {
	API     string `json:"api,omitempty"`     // address of the XMPL server
	Problem string `json:"problem,omitempty"` // why it is not known, or not asked
	// Unreached: the site itself could not be asked over verified TLS.
	Unreached bool `json:"unreached,omitempty"`
}

// LoginObserved is the login page.
type LoginObserved struct {
	URL      string `json:"url,omitempty"` // as written
	From     string `json:"from,omitempty"`
	Problem  string `json:"problem,omitempty"` // why there is no address, or no answer
	Status   int    `json:"status,omitempty"`
	Redirect string `json:"redirect,omitempty"` // a redirect that was not followed: scheme and host
	SignIn   bool   `json:"sign_in,omitempty"`  // the page has xmp-signin or a password field
	Scripts  bool   `json:"scripts,omitempty"`  // it has scripts, which may make one
}

// DataAnswer is the answer to a request for data without a token.
type DataAnswer struct {
	Call      string `json:"call"` // "context", as pages ask first, or "rid"
	Status    int    `json:"status,omitempty"`
	ErrorCode int    `json:"error_code,omitempty"`
	Values    int    `json:"values,omitempty"` // that are not empty
	// XMPL: the answer has the form of the protocol, and not just of any JSON.
	XMPL    bool   `json:"xmpl,omitempty"`
	Problem string `json:"problem,omitempty"`
}

// CORSAnswer says which sites' scripts may talk to the XMPL server.
type CORSAnswer struct {
	Asked bool `json:"asked,omitempty"`
	// Any: every origin. Reflected: an origin that does not exist was allowed by name.
	Any         bool `json:"any,omitempty"`
	Reflected   bool `json:"reflected,omitempty"`
	Credentials bool `json:"credentials,omitempty"`
}

// CookieSeen is a Set-Cookie header without its value.
type CookieSeen struct {
	From     string `json:"from"` // "site", "login page" or "XMPL server"
	Name     string `json:"name"`
	Secure   bool   `json:"secure,omitempty"`
	HTTPOnly bool   `json:"http_only,omitempty"`
	SameSite string `json:"same_site,omitempty"`
}

// GuessesObserved is what wrong passwords led to.
type GuessesObserved struct {
	Known   bool          `json:"known,omitempty"` // for a recipient that exists
	Answers []GuessAnswer `json:"answers,omitempty"`
	Problem string        `json:"problem,omitempty"` // why there are none, or no more
	// Accepted: one was taken.
	Accepted bool `json:"accepted,omitempty"`
	// RightTried: after them the caller's password was tried, which had been taken before;
	// RightTaken: it still was.
	RightTried bool `json:"right_tried,omitempty"`
	RightTaken bool `json:"right_taken,omitempty"`
}

// GuessAnswer is the answer to one wrong password.
type GuessAnswer struct {
	Status     int           `json:"status,omitempty"`
	ErrorCode  int           `json:"error_code,omitempty"`
	RetryAfter bool          `json:"retry_after,omitempty"`
	Changed    bool          `json:"changed,omitempty"` // it says something else than the first one
	Took       time.Duration `json:"took"`
}

// TokenObserved is the life of a security token.
type TokenObserved struct {
	Asked   bool   `json:"asked,omitempty"`   // with the caller's credentials
	Problem string `json:"problem,omitempty"` // why nothing is known
	// Stated is how long it lasts by the server's own statement; zero: it says nothing.
	Stated time.Duration `json:"stated,omitempty"`
	// Waited after signing in; GoodAfter says whether the token still opened data then.
	Waited    time.Duration `json:"waited,omitempty"`
	GoodAfter bool          `json:"good_after,omitempty"`
	// SignedOut: signing out was answered; GoodAfterSignOut: the token opened data all the same.
	SignedOut        bool `json:"signed_out,omitempty"`
	GoodAfterSignOut bool `json:"good_after_sign_out,omitempty"`
}

// OtherObserved is what the token of one recipient gave when the data of another was asked for.
type OtherObserved struct {
	Asked   bool          `json:"asked,omitempty"`   // a second recipient was given
	Problem string        `json:"problem,omitempty"` // why nothing is known
	Answers []OtherAnswer `json:"answers,omitempty"`
}

// OtherAnswer is one such answer. What both recipients have alike counts for neither.
type OtherAnswer struct {
	DataAnswer
	Own   int `json:"own,omitempty"`   // values that only the recipient of the token has
	Other int `json:"other,omitempty"` // values that only the one who was asked for has
}
