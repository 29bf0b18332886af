package securl

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/connsec/connsec"
)

// signIn tries one password, and returns the security token if it was taken.
func (v *liveVisit) signIn(ctx context.Context, rid, user, password string) (served, connsec.Secret, error) {
	s, err := v.ask(ctx, http.MethodPost, v.call("auth/signIn", nil), map[string]string{
		"RecipientID": rid, "AccessToken": v.token, "Password": password, "UserName": user, "SiteURL": v.page(rid),
	}, nil, "XMPL server")
	if err != nil {
		return s, connsec.Secret{}, err
	}
	var in struct {
		SecurityToken string `json:"securityToken"`
	}
	if s.status == http.StatusOK {
		_ = json.Unmarshal(s.body, &in)
	}
	return s, connsec.NewSecret(in.SecurityToken), nil
}

func (v *liveVisit) signOut(ctx context.Context, rid string, token connsec.Secret) bool {
	s, err := v.ask(ctx, http.MethodPost, v.call("auth/signOut", nil), map[string]string{"RecipientID": rid},
		map[string]string{tokenHeader: token.Reveal(), "accessToken": v.token}, "XMPL server")
	return err == nil && s.status == http.StatusOK
}

// good reports whether a token opens data; known is false if that could not be told.
func (v *liveVisit) good(ctx context.Context, rid string, token connsec.Secret) (good, known bool) {
	_, d := v.values(ctx, v.dataCalls(rid)[0], token)
	return d.Values > 0, d.Values > 0 || d.ErrorCode == notSignedIn
}

// askOther signs in as both recipients of the caller, reads what each has, and asks for the data of the
// second with the token of the first.
func (v *liveVisit) askOther(ctx context.Context) {
	o := &v.o.Other
	if v.OtherRecipientID == "" {
		return
	}
	o.Asked = true
	var tokens [2]connsec.Secret
	for i, who := range [2]struct {
		rid, user string
		password  connsec.Secret
	}{{v.RecipientID, v.UserName, v.Password}, {v.OtherRecipientID, v.OtherUserName, v.OtherPassword}} {
		s, token, err := v.signIn(ctx, who.rid, who.user, who.password.Reveal())
		which := [2]string{"first", "second"}[i]
		switch {
		case err != nil:
			o.Problem = "signing in as the " + which + " recipient failed: " + problemText(err)
			return
		case token.IsEmpty():
			o.Problem = fmt.Sprintf("the sign-in of the %s recipient was answered with %d and no token", which, s.status)
			return
		}
		tokens[i] = token
		defer v.signOut(ctx, who.rid, token)
	}
	first, second := v.dataCalls(v.RecipientID), v.dataCalls(v.OtherRecipientID)
	for i := range first {
		own, _ := v.values(ctx, first[i], tokens[0])
		other, _ := v.values(ctx, second[i], tokens[1])
		given, answer := v.values(ctx, second[i], tokens[0])
		a := OtherAnswer{DataAnswer: answer}
		for name, value := range given {
			switch value {
			case own[name]:
				if other[name] != value {
					a.Own++
				}
			case other[name]:
				a.Other++
			}
		}
		if len(own) == 0 || len(other) == 0 {
			a.Problem = "their own data was not given to both"
		}
		o.Answers = append(o.Answers, a)
	}
}

// values asks for data with a token.
func (v *liveVisit) values(ctx context.Context, c dataCall, token connsec.Secret) (map[string]string, DataAnswer) {
	d := DataAnswer{Call: c.name}
	s, err := v.ask(ctx, http.MethodGet, c.url, nil, map[string]string{tokenHeader: token.Reveal()}, "XMPL server")
	if err != nil {
		d.Problem = problemText(err)
		return nil, d
	}
	d.Status = s.status
	return d.read(s), d
}

// liveToken signs in with the caller's credentials and follows the token to its end.
func (v *liveVisit) liveToken(ctx context.Context) error {
	t := &v.o.Token
	if v.Password.IsEmpty() {
		t.Problem = "no recipient and password to sign in with were given"
		return nil
	}
	t.Asked = true
	s, token, err := v.signIn(ctx, v.RecipientID, v.UserName, v.Password.Reveal())
	switch {
	case err != nil:
		t.Problem = "signing in failed: " + problemText(err)
		return nil
	case token.IsEmpty():
		t.Problem = fmt.Sprintf("the sign-in was answered with %d and no token", s.status)
		return nil
	}
	v.signedIn = true
	t.Stated = statedLifetime(s, token, v.o.At)
	if good, _ := v.good(ctx, v.RecipientID, token); !good {
		t.Problem = "the token opens no data even at once"
		v.signOut(ctx, v.RecipientID, token)
		return nil
	}
	if v.Wait {
		// A use half way: a token that lasts an hour from its last use lasts for ever.
		const wait, half = Lifetime + time.Minute, Lifetime / 2
		for i, d := range []time.Duration{half, wait - half} {
			if err := v.Sleep(ctx, d); err != nil {
				return err
			}
			if i == 0 {
				v.good(ctx, v.RecipientID, token)
			}
		}
		good, known := v.good(ctx, v.RecipientID, token)
		if !known {
			t.Problem = "an hour later, the XMPL server gave no answer that tells"
			v.signOut(ctx, v.RecipientID, token)
			return nil
		}
		t.Waited, t.GoodAfter = wait, good
		if !good {
			// The old one is gone; whether signing out works takes another.
			if _, token, err = v.signIn(ctx, v.RecipientID, v.UserName, v.Password.Reveal()); err != nil || token.IsEmpty() {
				return nil
			}
		}
	}
	if !v.signOut(ctx, v.RecipientID, token) {
		return nil
	}
	good, known := v.good(ctx, v.RecipientID, token)
	t.SignedOut, t.GoodAfterSignOut = known, good
	return nil
}

// statedLifetime is what the answer to a sign-in says about the end of the token: fields of
// RFC 6749, or the claims of a JWT. The age of a cookie that holds it is about the browser.
func statedLifetime(s served, token connsec.Secret, now time.Time) time.Duration {
	var in map[string]json.RawMessage
	_ = json.Unmarshal(s.body, &in)
	const most = 100 * 365 * 24 * time.Hour
	seconds := func(n float64) time.Duration {
		if n <= 0 || n > most.Seconds() {
			return most
		}
		return time.Duration(n * float64(time.Second))
	}
	for _, key := range []string{"expires_in", "expiresIn", "ExpiresIn"} {
		var n float64
		if raw, ok := in[key]; ok && json.Unmarshal(raw, &n) == nil && n > 0 {
			return seconds(n)
		}
	}
	if claims, ok := jwtClaims(token.Reveal()); ok && claims.Expires > 0 {
		issued := cmp.Or(claims.Issued, float64(now.Unix()))
		if claims.Expires > issued {
			return seconds(claims.Expires - issued)
		}
	}
	return 0
}

// guess tries wrong passwords.
func (v *liveVisit) guess(ctx context.Context, random string) error {
	g := &v.o.Guesses
	n, rid := v.Guesses, random
	switch {
	case n < 0:
		g.Problem = "no passwords were to be tried"
		return nil
	case n == 0:
		n = defaultGuesses
	case n > defaultGuesses:
		rid, g.Known = v.RecipientID, true
	}
	first := ""
	for i := range n {
		password, err := v.random("")
		if err != nil {
			return err
		}
		s, token, err := v.signIn(ctx, rid, v.UserName, password)
		if err != nil {
			g.Problem = problemText(err)
			return nil
		}
		if !token.IsEmpty() {
			g.Accepted = true
			v.signOut(ctx, rid, token)
			return nil
		}
		var in struct{ DisplayMessage string }
		_ = json.Unmarshal(s.body, &in)
		if i == 0 {
			first = in.DisplayMessage
		}
		a := guessAnswer(s)
		a.Changed = i > 0 && (in.DisplayMessage != first || a.Status != g.Answers[0].Status || a.ErrorCode != g.Answers[0].ErrorCode)
		g.Answers = append(g.Answers, a)
		if a.refusal() {
			return nil // it says so, and more would only add to it
		}
	}
	if n <= nistFailures || !v.signedIn {
		return nil
	}
	if s, token, err := v.signIn(ctx, v.RecipientID, v.UserName, v.Password.Reveal()); err == nil {
		g.RightTaken = !token.IsEmpty()
		g.RightTried = g.RightTaken || guessAnswer(s).judged() || guessAnswer(s).refusal()
		if g.RightTaken {
			v.signOut(ctx, v.RecipientID, token)
		}
	}
	return nil
}

// guessAnswer is the part of an answer to a sign-in that is kept, but for Changed.
func guessAnswer(s served) GuessAnswer {
	var in struct{ ErrorCode int }
	_ = json.Unmarshal(s.body, &in)
	return GuessAnswer{Status: s.status, ErrorCode: in.ErrorCode, RetryAfter: s.header.Get("Retry-After") != "", Took: s.took}
}

// refusal reports whether an answer says that there were too many attempts. With 503 the same
// header announces maintenance (RFC 9110 10.2.3).
func (a GuessAnswer) refusal() bool {
	return a.Status == http.StatusTooManyRequests || a.Status == http.StatusLocked || a.RetryAfter && a.Status/100 == 4
}

// judged reports whether an answer is what an XMPL server says of a wrong password, and not what
// something before it says of the request.
func (a GuessAnswer) judged() bool {
	return a.Status == http.StatusBadRequest && a.ErrorCode == notSignedIn
}
