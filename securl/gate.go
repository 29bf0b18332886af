package securl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/connsec/connsec"
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
	// Name tells this site from others that share Sessions: a session opens the site that has
	// its name, on every host. Sites with a store in common must have different names. Default:
	// Base; required if that is "/" and Sessions is set.
	Name string
	// Hasher compares a typed password with [Recipient.Password]. Nil: [Hasher]{}, Circle's MD5
	// for ASCII passwords.
	Hasher PasswordHasher
	// Base is the path at which the site lives, such as "/campaign/". Default "/".
	Base string
	// Public are paths below Base that need no sign-in, such as "css/" (with all below it) or
	// "favicon.ico", for GET and HEAD. Case counts. Default none.
	Public []string
	// Pages are names directly below Base that look like recipient keys and are pages, such as
	// "enroll"; a slash behind a name makes no difference, here or in an address. Names that end
	// like a file (".html") need not be listed. Default none: every other name is a key, and needs a
	// sign-in with it.
	Pages []string
	// Login is the sign-in page.
	Login LoginPage
	// Lifetime is how long a sign-in lasts. Default and most: one hour.
	Lifetime time.Duration
	// Throttle bounds attempts to sign in.
	Throttle Throttle
	// Visitor says where a request came from and whether it came over HTTPS. Nil: by its
	// connection, which must be TLS. Behind a proxy that ends TLS: [BehindProxies].
	Visitor func(*http.Request) (Visitor, error)
	// Key signs the cookie that marks a device on which a recipient has signed in before, and
	// the page that a visitor goes back to. 32 characters or more, the same on all nodes.
	// Default: random for this process; a device is then known to the node that met it only.
	Key connsec.Secret
	// XMPL, when set, is served too: the part of the XMPL REST interface that sites use.
	XMPL *XMPL
	// Observe, when set, is told of sign-ins, failures and lock-outs, for a log of the caller's.
	// It must return quickly. Events hold no password and no token.
	Observe func(context.Context, Event)

	Now  func() time.Time // nil: time.Now
	Rand io.Reader        // nil: crypto/rand; it must be safe for concurrent use
}

// Recipient is one recipient of a campaign.
type Recipient struct {
	ID string // the recipient key (RID), as it stands in the PURL
	// UserName is compared too where [LoginPage.UserName] says so. Case counts.
	UserName string
	// Password is the stored value, as Hasher made it. Empty: this recipient cannot sign in.
	Password string
}

// Recipients looks recipients up by key. It must be safe for concurrent use.
type Recipients interface {
	// Recipient returns the recipient with the key, or ErrNoRecipient. Other errors mean that
	// it cannot be told; the visitor sees that the service is not available. A database that
	// ignores case may return a recipient whose ID is spelt differently.
	Recipient(ctx context.Context, rid string) (Recipient, error)
}

// ErrNoRecipient says that no recipient has the key.
var ErrNoRecipient = errors.New("securl: no such recipient")

// Sessions stores sessions under opaque keys until they expire. Every store of
// github.com/alexedwards/scs is one: Redis, PostgreSQL, SQL Server, and others. If it also has
// FindCtx, CommitCtx and DeleteCtx, those are called. Keys are hashes of 43 characters, so that
// a copy of the store opens no session; whoever can write to it can sign in as anybody.
//
// A store must not drop a record before it expires: one that forgets a sign-out would revive
// what the sign-out ended.
type Sessions interface {
	Find(key string) (value []byte, found bool, err error)
	Commit(key string, value []byte, expiry time.Time) error
	Delete(key string) error
}

type signedInKey struct{}

// SignedIn returns the recipient whose session a request to the site carries, without the
// password. It is false for public files. A page must show this recipient's data, whatever
// stands in its URL.
func SignedIn(ctx context.Context) (Recipient, bool) {
	r, ok := ctx.Value(signedInKey{}).(Recipient)
	return r, ok
}

// SignOut ends all sessions of a recipient, on all nodes and devices. Call it after a password
// has changed, with the key as Recipients returns it – and before, too, so that a crash in between
// leaves no session that the old password made. It needs Sessions to be set: the memory of a handler
// is the handler's own.
func (g Gate) SignOut(ctx context.Context, rid string) error {
	if g.Sessions == nil {
		return errors.New("securl: this gate keeps sessions in memory of its own: set Sessions, for instance to new(MemorySessions), to end them from outside")
	}
	d, err := g.keeper()
	if err != nil {
		return err
	}
	return d.signOutRecipient(ctx, rid)
}

// base returns where the site lives, with a slash at both ends.
func (g Gate) base() (string, error) {
	if g.Base == "" {
		return "/", nil
	}
	p, err := plainPath(&url.URL{Path: g.Base})
	if err != nil || !strings.HasSuffix(p, "/") || strings.ContainsAny(p, "?#; ") {
		return "", fmt.Errorf("securl: Base is %q: it must be a path such as \"/campaign/\", with a slash at both ends", clip(g.Base))
	}
	return p, nil
}
