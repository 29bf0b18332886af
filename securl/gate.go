package securl

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// Lifetime is how long a sign-in lasts at most: one hour, as the Circle security guide says.
const Lifetime = time.Hour

// Gate is what stands before a personalized site: nobody sees a page of a recipient without
// having signed in as that recipient. Everything is closed that is not listed in Public.
//
// [Gate.Handler] makes a handler of it. The zero value of every field but Recipients is the
// strict choice.
type Gate struct {
	// Recipients looks recipients up. Required.
	Recipients Recipients
	// Sessions keeps sessions and is shared by all nodes. Nil: memory of this process.
	Sessions Sessions
	// Hasher compares a typed password with [Recipient.Password]. Nil: [Hasher]{}, Circle's MD5
	// for ASCII passwords.
	Hasher PasswordHasher
	// Base is the path at which the site lives, such as "/campaign/". Default "/".
	Base string
	// Public are paths below Base that need no sign-in, such as "css/" (with all below it) or
	// "favicon.ico". Default none.
	Public []string
	// Login is the sign-in page.
	Login LoginPage
	// Lifetime is how long a sign-in lasts. Default and most: one hour.
	Lifetime time.Duration
	// Throttle bounds attempts to sign in.
	Throttle Throttle
	// XMPL, when set, is served too: the part of the XMPL REST interface that sites use.
	XMPL *XMPL
	// Observe, when set, is told of sign-ins, failures and lock-outs, for a log of the caller's.
	// It must return quickly. Events hold no password and no token.
	Observe func(context.Context, Event)

	Now  func() time.Time // nil: time.Now
	Rand io.Reader        // nil: crypto/rand
}

// Recipient is one recipient of a campaign.
type Recipient struct {
	ID string // the recipient key (RID), as it stands in the PURL
	// UserName is compared too where [LoginPage.UserName] says so.
	UserName string
	// Password is the stored value, as Hasher made it. Empty: this recipient cannot sign in.
	Password string
}

// Recipients looks recipients up by key. It must be safe for concurrent use.
type Recipients interface {
	// Recipient returns the recipient with the key, or ErrNoRecipient. Other errors mean that
	// it cannot be told; the visitor sees that the service is not available.
	Recipient(ctx context.Context, rid string) (Recipient, error)
}

// ErrNoRecipient says that no recipient has the key.
var ErrNoRecipient = errors.New("securl: no such recipient")

// Sessions stores sessions under opaque keys until they expire. Every store of
// github.com/alexedwards/scs is one: Redis, PostgreSQL, SQL Server, and others. Keys are hashes,
// so that a copy of the store opens no session.
type Sessions interface {
	Find(key string) (value []byte, found bool, err error)
	Commit(key string, value []byte, expiry time.Time) error
	Delete(key string) error
}

// Handler returns the gate before a site. It fails if the gate's setting is not sound.
func (g Gate) Handler(site http.Handler) (http.Handler, error) {
	return nil, errors.New("securl: not built yet")
}
