package securl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/connsec/connsec"
)

// ADORs holds the values of recipients: their ADORs, or content objects. It must be safe for
// concurrent use. The gate calls it with the key of a recipient who has signed in, and with names
// that a browser sent: treat both as data, never as parts of a statement.
type ADORs interface {
	// Values returns values by name; no names means all. A name without a value is left out.
	Values(ctx context.Context, rid string, names []string) (map[string]string, error)
	// SetValues changes values, all or none. That of [XMPL.PasswordADOR] is a hash.
	SetValues(ctx context.Context, rid string, values map[string]string) error
}

// Registrar is an [ADORs] that takes new recipients, for forms with xmp-register or xmp-refer. A
// store without this method takes none.
type Registrar interface {
	// Register makes a recipient and returns its key. It must not change one that exists: who
	// calls has not signed in. An error that wraps [ErrNotAccepted] is the visitor's fault, such as
	// a user name that is taken.
	Register(ctx context.Context, values map[string]string) (rid string, err error)
}

// ErrNotAccepted says that values or a password are not acceptable. The visitor is told so, and
// not why.
var ErrNotAccepted = errors.New("securl: not accepted")

// XMPL is the part of the XMPL REST interface that sites use, behind a [Gate]: the XMPL library
// in a page signs in here and gets the data of the recipient who has signed in, and no other.
//
// A sign-in here and one on the gate's page are the same thing: either way the browser has the
// gate's cookie, and requests of pages of the site itself are answered by it. Which recipient an
// address (siteURL) or a parameter (rid) names decides about nothing but the answer "sign in
// first", which carries the key on to the login page.
//
// It answers what versions 3.1, 4.0 and 4.1 of the published library ask, and other clients that do
// without siteURL.
//
// Not offered: images that are composed on request (uImage), asynchronous queries, assets, and
// the interface that design tools use. E-mail can be triggered to the recipient who has signed
// in, not to another.
type XMPL struct {
	// ADORs holds the data. Required.
	ADORs ADORs
	// AccessToken is what names the project in xmpcfg.js. It is public. Required; letters,
	// digits, "-" and "_".
	AccessToken string
	// PasswordADOR is the name of the password's ADOR, which can be neither read nor written
	// by name. Required.
	PasswordADOR string
	// ReadOnly are names that pages cannot write, such as the user name's. Names that begin with
	// "XMPie" always are.
	ReadOnly []string
	// Prefix is where the interface lives. Default "/XMPieXMPL_REST_API".
	Prefix string
	// ProjectName stands in xmpcfg.js. Default none.
	ProjectName string
	// LoginURL goes into xmpcustom.js: a page of the site with xmp-signin, which must be public.
	// Default: the gate's own sign-in page.
	LoginURL string
	// Origins may use the interface from scripts of their own, such as
	// "https://www.example.com". They are not served by cookie. Default none: only pages of the
	// same host.
	Origins []string
	// AcceptPassword says whether a new password will do; ErrNotAccepted if not. Nil: at least 8
	// characters, no more bytes than are hashed (250), none of the most common, and not the
	// recipient key or user name.
	AcceptPassword func(ctx context.Context, r Recipient, password connsec.Secret) error

	// Track is told what pages report of visits and clicks. Nil: it is dropped.
	Track func(ctx context.Context, rid string, event map[string]any) error
	// Trigger sends an e-mail or another touchpoint to the recipient. Nil: refused.
	Trigger func(ctx context.Context, rid, touchPoint string, customizations json.RawMessage) error
	// Unsubscribe sets whether the recipient gets e-mail. Nil: refused.
	Unsubscribe func(ctx context.Context, rid string, unsubscribe bool) error
}

// DefaultPrefix is where XMPL servers have their interface.
const DefaultPrefix = "/XMPieXMPL_REST_API"

// mounts returns what is served beside the site. The gate has then seen to HTTPS and to the form
// of the path.
func (x *XMPL) mounts(d *door, s *site) ([]mount, error) {
	api := &xmplAPI{XMPL: *x, door: d, site: s, cookies: cookieNames(s.base), origin: http.NewCrossOriginProtection(), bodyTime: defaultFormTime}
	api.Origins, api.foldedPassword = slices.Clone(x.Origins), foldName(x.PasswordADOR)
	for _, name := range x.ReadOnly {
		api.foldedReadOnly = append(api.foldedReadOnly, foldName(name))
	}
	if api.Prefix == "" {
		api.Prefix = DefaultPrefix
	}
	p, err := plainPath(&url.URL{Path: api.Prefix})
	switch {
	case x.ADORs == nil:
		return nil, errors.New("securl: XMPL needs ADORs")
	case !plainToken(x.AccessToken) || len(x.AccessToken) > maxToken:
		return nil, errors.New("securl: XMPL.AccessToken must be letters, digits, hyphens and underscores")
	case api.foldedPassword == "":
		return nil, errors.New("securl: XMPL needs the name of the password's ADOR, to keep it back")
	case fixedPassword(x.PasswordADOR):
		return nil, errors.New("securl: XMPL.PasswordADOR is one of the two names that stand for it; name the ADOR itself")
	case err != nil || strings.HasSuffix(p, "/"):
		return nil, fmt.Errorf("securl: XMPL.Prefix is %q: it must be a path such as %q", clip(x.Prefix), DefaultPrefix)
	}
	if strings.HasPrefix(s.base, p+"/") {
		return nil, fmt.Errorf("securl: XMPL.Prefix is %q, and the site is below it: its pages would not be served", clip(p))
	}
	for _, o := range x.Origins {
		u, err := url.Parse(o)
		if err != nil || u.Scheme != "https" || o != "https://"+u.Host || u.Hostname() == "" {
			return nil, fmt.Errorf("securl: XMPL.Origins has %q: it must be an origin such as \"https://www.example.com\"", clip(o))
		}
		if err := api.origin.AddTrustedOrigin(o); err != nil {
			return nil, fmt.Errorf("securl: XMPL.Origins has %q, which cannot be compared", clip(o))
		}
	}
	login := x.LoginURL
	if login == "" {
		login = s.base + loginName
	}
	custom, err := CustomScript(login)
	if err != nil {
		return nil, err
	}
	config := configScript(x.AccessToken, api.Prefix, x.ProjectName)
	return []mount{
		{api.Prefix + "/", api},
		{s.base + "xmpcustom.js", scriptFile(custom)},
		{s.base + "xmpcfg.js", scriptFile(config)},
	}, nil
}

// maxToken bounds access and service tokens, in bytes.
const maxToken = 256

// plainToken reports whether a token needs no quoting anywhere.
func plainToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-' || r == '_')
	})
}
