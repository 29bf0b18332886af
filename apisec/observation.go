package apisec

import (
	"net/http"
	"time"

	"github.com/connsec/connsec/tlscheck"
)

// Observation is what was seen of a token endpoint, and of the file that holds the secret. It
// marshals to JSON and back, and holds neither secret nor token.
type Observation struct {
	Subject  string        `json:"subject"` // what findings are about: the client
	Endpoint string        `json:"endpoint"`
	At       time.Time     `json:"at"`
	Duration time.Duration `json:"duration"`

	// Of the setting: how the client sends its secret, and the scopes that its work takes and
	// that it asks for.
	Style  Style    `json:"style"`
	Scopes []string `json:"scopes,omitempty"`
	Needed []string `json:"needed,omitempty"`

	// Problem says why the endpoint was not looked at; empty: it was.
	Problem string `json:"problem,omitempty"`
	// TLS is what package tlscheck saw of the endpoint; nil if the token URL is not https.
	TLS *tlscheck.HTTPSObservation `json:"tls,omitempty"`
	// Plain is the port without TLS; nil if it is the one of TLS.
	Plain *tlscheck.PlainObservation `json:"plain,omitempty"`
	// InClear is the answer to an unknown client there; of several addresses, the one that gives
	// most away.
	InClear Answer `json:"in_clear"`
	// Stranger is the answer to a client that does not exist, in the style of the setting;
	// Nobody to a request without a client; InQuery to that client in the URL.
	Stranger Answer `json:"stranger"`
	Nobody   Answer `json:"nobody"`
	InQuery  Answer `json:"in_query"`
	// Token is the answer to the client's own request; nil if it was not made.
	Token *TokenAnswer `json:"token,omitempty"`

	// File is the file that holds the secret; nil if none was named.
	File *File `json:"file,omitempty"`
}

// Answer is what matters of an answer to a token request.
type Answer struct {
	Problem    string   `json:"problem,omitempty"` // why there was none
	Closed     bool     `json:"closed,omitempty"`  // of a port: nobody listens there
	Status     int      `json:"status,omitempty"`
	Code       string   `json:"code,omitempty"`       // a registered word of RFC 6749 §5.2
	Token      bool     `json:"token,omitempty"`      // it gives out an access token
	NoStore    bool     `json:"no_store,omitempty"`   // Cache-Control: no-store
	Challenges []string `json:"challenges,omitempty"` // schemes of WWW-Authenticate
	Unread     string   `json:"unread,omitempty"`     // why its body was not read
	Redirect   string   `json:"redirect,omitempty"`   // scheme and host of Location
	Echoes     bool     `json:"echoes,omitempty"`     // the secret that was sent is in it
}

// same reports whether two answers are of one kind.
func (a Answer) same(b Answer) bool {
	return a.Problem == "" && b.Problem == "" && a.Status == b.Status && a.Code == b.Code && a.Token == b.Token
}

// givesAway orders answers without TLS: one in an endpoint's words, a refusal without any, a
// redirect, one that does not tell, one that turns the request down, and a closed port.
func (a Answer) givesAway() int {
	switch {
	case a.Token, a.Code != "":
		return 5
	case a.refuses():
		return 4
	case a.Redirect != "":
		return 3
	case a.turnsDown():
		return 1
	case a.Closed:
		return 0
	}
	return 2
}

// turnsDown reports whether an answer is one to requests without TLS, of whatever kind.
func (a Answer) turnsDown() bool {
	switch a.Status {
	case http.StatusForbidden, http.StatusNotFound, http.StatusUpgradeRequired, http.StatusGone:
		return a.Problem == ""
	}
	return false
}

// TokenAnswer is the answer to the client with its real secret.
type TokenAnswer struct {
	Answer
	Wrong    string        `json:"wrong,omitempty"`    // why a token is not one that can be used
	Life     time.Duration `json:"life,omitempty"`     // 0: the server does not say
	Granted  []string      `json:"granted,omitempty"`  // scopes, where the server says
	Assigned bool          `json:"assigned,omitempty"` // the server says which scopes it grants
}

// File is a file on the machine that observes.
type File struct {
	Path     string            `json:"path"`
	Missing  bool              `json:"missing,omitempty"`
	Exposure tlscheck.Exposure `json:"exposure,omitzero"`
}
