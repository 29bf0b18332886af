package securl

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/connsec/connsec"
)

// listed returns a parameter that may come several times, or once with commas.
func listed(q url.Values, name string) []string {
	values := append(append([]string{}, q[name]...), q[name+"[]"]...)
	if len(values) == 1 && strings.Contains(values[0], ",") {
		return strings.Split(values[0], ",")
	}
	return values
}

// query reads the parameters of a call.
func (c *xmplCall) query() (url.Values, error) {
	if len(c.r.URL.RawQuery) > 64<<10 {
		return nil, refusedAs(http.StatusRequestURITooLong, "too many parameters")
	}
	q, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return nil, refused("the parameters are damaged")
	}
	return q, nil
}

// contextValues is the first call of personalized pages: who is it, and what are the values?
func (c *xmplCall) contextValues() (any, error) {
	q, err := c.query()
	if err != nil {
		return nil, err
	}
	rid, err := c.named(q.Get("siteURL"), q.Get("cachedRecipientID"))
	if err != nil {
		return nil, err
	}
	s, err := c.session(rid)
	if err != nil {
		return nil, err
	}
	result, err := c.read(s, true, listed(q, "adors"), listed(q, "resolved"))
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"login":  map[string]any{"serviceToken": c.AccessToken, "recipientID": s.rid},
		"result": result,
	}, nil
}

// values is the later call for more of them.
func (c *xmplCall) values() (any, error) {
	q, err := c.query()
	if err != nil {
		return nil, err
	}
	s, err := c.sessionOf(q)
	if err != nil {
		return nil, err
	}
	return c.read(s, true, listed(q, "adors"), listed(q, "resolved"))
}

// sessionOf returns the session of the recipient in the parameter rid, or else of the one in the
// address of the page, or of whoever it is. The parameter counts first here: it may be a referred
// recipient, on a page of the one who has signed in.
func (c *xmplCall) sessionOf(q url.Values) (session, error) {
	rid, err := c.parameter()
	if rid == "" && err == nil {
		rid, err = c.addressed(q.Get("siteURL"))
	}
	if err != nil {
		return session{}, err
	}
	return c.session(rid)
}

// read returns values. Without names it returns all, or none.
func (c *xmplCall) read(s session, all bool, lists ...[]string) (map[string]string, error) {
	names, ok := c.readable(lists...)
	if !ok {
		return nil, refused("a name is damaged, or there are too many")
	}
	for _, l := range lists {
		all = all && len(l) == 0
	}
	if len(names) == 0 && !all {
		return map[string]string{}, nil
	}
	values, err := c.ADORs.Values(c.r.Context(), s.rid, names)
	if err != nil {
		return nil, err
	}
	out := make(map[string]string, len(values))
	for name, v := range values {
		if !c.hidden(name) { // whatever the store took a name for
			out[name] = v
		}
	}
	return out, nil
}

// change is what a page wants to write, without the passwords.
type change struct {
	values             map[string]string
	password, existing connsec.Secret
	hasPassword        bool
	hasExisting        bool
}

// parseChange reads the values of a form. Numbers and booleans are written as they stand.
func (x *xmplAPI) parseChange(in map[string]json.RawMessage) (change, error) {
	c := change{values: map[string]string{}}
	if len(in) > maxNames {
		return change{}, refused("there are too many values")
	}
	folded := map[string]bool{}
	for name, raw := range in {
		if !validName(name) {
			return change{}, refused("a name is damaged")
		}
		value, err := textOf(raw)
		if err != nil {
			return change{}, err
		}
		f := foldName(name)
		if folded[f] {
			return change{}, refused("two names differ too little")
		}
		folded[f] = true
		switch {
		case name == newPassword:
			c.password, c.hasPassword = connsec.NewSecret(value), true
		case name == existingPassword:
			c.existing, c.hasExisting = connsec.NewSecret(value), true
		case !x.writable(name):
			return change{}, refusedAs(http.StatusForbidden, "a value of this form cannot be written")
		default:
			c.values[name] = value
		}
	}
	return c, nil
}

// textOf returns a JSON string, number, boolean or null as text.
func textOf(raw json.RawMessage) (string, error) {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return "", refused("a value is damaged")
	}
	var s string
	switch v := v.(type) {
	case nil:
	case string:
		s = v
	case float64, bool:
		s = strings.TrimSpace(string(raw))
	default:
		return "", refused("a value is no text")
	}
	if len(s) > maxValue || !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		return "", refused("a value is too long, or damaged")
	}
	return s, nil
}

// update writes values of the recipient who has signed in, and a new password with them.
func (c *xmplCall) update() (any, error) {
	q, err := c.query()
	if err != nil {
		return nil, err
	}
	s, err := c.sessionOf(q)
	if err != nil {
		return nil, err
	}
	var in map[string]json.RawMessage
	if err := c.body(&in); err != nil {
		return nil, err
	}
	ch, err := c.parseChange(in)
	if err != nil {
		return nil, err
	}
	if ch.hasPassword {
		if err := c.changePassword(s, &ch); err != nil {
			return nil, err
		}
	}
	store := func() error {
		if len(ch.values) == 0 {
			return nil
		}
		return storeError(c.ADORs.SetValues(c.r.Context(), s.rid, ch.values))
	}
	if ch.hasPassword {
		err = c.door.endingOthers(c.r.Context(), s, store)
	} else {
		err = store()
	}
	if err != nil {
		return nil, err
	}
	return c.read(s, false, listed(q, "adors"), listed(q, "resolved"))
}

// storeError is the answer to an error of the caller's store.
func storeError(err error) error {
	if errors.Is(err, ErrNotAccepted) {
		return refused("the values were not accepted")
	}
	return err
}

// register makes a recipient. Who has signed in makes one for somebody else, and is not signed in
// as that one.
func (c *xmplCall) register() (any, error) {
	var in struct {
		NewRecipientValues        map[string]json.RawMessage
		NewRecipientRetrieveADORs []string
		NewRecipientResolvedADORs []string
	}
	if err := c.body(&in); err != nil {
		return nil, err
	}
	ctx := c.r.Context()
	registrar, ok := c.ADORs.(Registrar)
	if !ok {
		return nil, refusedAs(http.StatusForbidden, "nobody can register here")
	}
	_, err := c.session("")
	var none *failure
	referral := err == nil
	if err != nil && !errors.As(err, &none) {
		return nil, err
	}
	ch, err := c.parseChange(in.NewRecipientValues)
	if err != nil {
		return nil, err
	}
	if !ch.hasPassword || ch.password.IsEmpty() || ch.hasExisting {
		return nil, refused("registering takes a password in " + newPassword)
	}
	if wait := c.door.throttle.register(c.door.clock.now(), visitorOf(ctx).Addr); wait > 0 {
		return nil, tooMany(wait)
	}
	if err := c.accept(Recipient{}, ch.password); err != nil {
		return nil, err
	}
	hash, err := c.door.hash(ctx, ch.password)
	if err != nil {
		return nil, hashError(err)
	}
	sent := make(map[string]string, len(ch.values))
	for name, v := range ch.values {
		sent[name] = v
	}
	ch.values[c.PasswordADOR] = hash
	rid, err := registrar.Register(ctx, ch.values)
	switch {
	case err != nil:
		return nil, storeError(err)
	case !validRID(rid):
		return nil, errors.New("securl: Register returned a key that cannot be one")
	}
	out := map[string]any{"recipientID": rid}
	names, ok := c.readable(in.NewRecipientRetrieveADORs, in.NewRecipientResolvedADORs)
	if !ok {
		names = nil
	}
	// What was just sent can be told back to whoever sent it. The rest is the recipient's, and
	// is read once it is proved that the sender is the recipient: the password opens it.
	values := map[string]string{}
	for _, n := range names {
		if v, ok := sent[n]; ok {
			values[n] = v
		}
	}
	if !referral {
		if r, err := c.door.recipients.Recipient(ctx, rid); err == nil {
			if s, token, err := c.enter(rid, r.UserName, ch.password); err == nil {
				out["securityToken"] = token
				if values, err = c.read(s, false, names); err != nil {
					return nil, err
				}
			}
		}
	}
	out["values"] = values
	return out, nil
}

// event takes what a page reports.
func (c *xmplCall) event() (any, error) {
	s, err := c.session("")
	if err != nil {
		return nil, err
	}
	var in map[string]any
	if err := c.body(&in); err != nil {
		return nil, err
	}
	for name, value := range in {
		// In every spelling: what reads the event may not mind.
		if !strings.EqualFold(name, "recipientID") {
			continue
		}
		rid, isText := value.(string)
		if value != nil && !isText {
			return nil, refused("the recipient is damaged")
		}
		if err := c.ownOnly(s, rid); err != nil {
			return nil, err
		}
	}
	if c.Track != nil {
		if err := c.Track(c.r.Context(), s.rid, in); err != nil {
			return nil, storeError(err)
		}
	}
	return map[string]any{}, nil
}

// ownOnly refuses a recipient in the content who is not the session's.
func (c *xmplCall) ownOnly(s session, rid string) error {
	switch {
	case stated(rid) == "" || validRID(rid) && c.door.same(c.r.Context(), rid, s):
		return nil
	case !validRID(rid):
		return signInFirst("")
	}
	return signInFirst(rid)
}

func (c *xmplCall) trigger() (any, error) {
	s, err := c.session("")
	if err != nil {
		return nil, err
	}
	var in struct {
		TouchPointID, RecipientID string
		Customizations            json.RawMessage
	}
	if err := c.body(&in); err != nil {
		return nil, err
	}
	if err := c.ownOnly(s, in.RecipientID); err != nil {
		return nil, err
	}
	if c.Trigger == nil || in.TouchPointID == "" || len(in.TouchPointID) > maxName {
		return nil, refused("there is no such touchpoint")
	}
	if err := c.Trigger(c.r.Context(), s.rid, in.TouchPointID, in.Customizations); err != nil {
		return nil, storeError(err)
	}
	return map[string]any{}, nil
}

func (c *xmplCall) unsubscribe() (any, error) {
	s, err := c.session("")
	if err != nil {
		return nil, err
	}
	var in struct {
		Status      bool
		RecipientID string
	}
	if err := c.body(&in); err != nil {
		return nil, err
	}
	if err := c.ownOnly(s, in.RecipientID); err != nil {
		return nil, err
	}
	if c.Unsubscribe == nil {
		return nil, refused("this cannot be set here")
	}
	if err := c.Unsubscribe(c.r.Context(), s.rid, in.Status); err != nil {
		return nil, storeError(err)
	}
	return map[string]any{}, nil
}
