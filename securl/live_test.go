package securl_test

import (
	"context"
	"encoding/json"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/securl"
	"github.com/connsec/connsec/tlscheck"
	"github.com/connsec/connsec/trap"
)

const liveHost = "www.corp.example"

// trapSite starts a trap and returns it with what asks it.
func trapSite(t testing.TB, p trap.XMPLPosture, now func() time.Time) (*trap.XMPL, securl.Live) {
	t.Helper()
	s, err := trap.Options{Names: []string{liveHost}, Timeout: 20 * time.Second, Now: now}.XMPL(p)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s, securl.Live{
		URL:         "https://" + liveHost + s.Path(),
		Project:     securl.Project{SecURL: securl.On},
		RecipientID: trap.XMPLRecipient,
		Endpoint:    tlscheck.Endpoint{Connect: s.Addr(), Roots: s.Roots()},
		Sleep:       func(context.Context, time.Duration) error { panic("nobody asked to wait") },
	}
}

// travel is a clock that a sleep moves on at once.
type travel struct{ ahead atomic.Int64 }

func (c *travel) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *travel) sleep(_ context.Context, d time.Duration) error {
	c.ahead.Add(int64(d))
	return nil
}

func observe(t testing.TB, l securl.Live) securl.LiveObservation {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	o, err := l.Observe(ctx)
	require.NoError(t, err)
	return o
}

var liveRules = []*connsec.Rule{securl.RuleDataOpen, securl.RuleHTTPSOff, securl.RuleLoginURL, securl.RuleSessionTooLong, securl.RuleSignOutIgnored,
	securl.RuleUnthrottled, securl.RuleCookieUnsafe, securl.RuleAnyOrigin, securl.RuleTokenOpensOthers}

// withOther gives a probe both recipients of a trap.
func withOther(l securl.Live) securl.Live {
	l.UserName, l.Password = trap.XMPLUserName, connsec.NewSecret(trap.XMPLPassword)
	l.OtherRecipientID, l.OtherPassword = trap.XMPLOtherRecipient, connsec.NewSecret(trap.XMPLOtherPassword)
	return l
}

func TestLiveHonest(t *testing.T) {
	var clock travel
	s, l := trapSite(t, trap.XMPLHonest, clock.now)
	l = withOther(l)
	l.Wait, l.Sleep = true, clock.sleep
	o := observe(t, l)
	r := o.Judge()
	ruletest.Expect(t, r, connsec.Pass, liveRules...)
	ruletest.Expect(t, r, connsec.Pass, tlscheck.RuleHSTSMissing)
	assert.Equal(t, time.Hour+time.Minute, o.Token.Waited)

	t.Run("facts travel as JSON", func(t *testing.T) {
		data, err := json.Marshal(o)
		require.NoError(t, err)
		for _, secret := range []string{trap.XMPLPassword, trap.XMPLOtherPassword, trap.XMPLAccessToken, "Kai", "Lee"} {
			assert.NotContains(t, string(data), secret)
		}
		var back securl.LiveObservation
		require.NoError(t, json.Unmarshal(data, &back))
		want, err := json.Marshal(r)
		require.NoError(t, err)
		got, err := json.Marshal(back.Judge())
		require.NoError(t, err)
		assert.JSONEq(t, string(want), string(got))
	})
	t.Run("what it left behind", func(t *testing.T) {
		signIns, requests := 0, 0
		for _, c := range s.Observed() {
			assert.False(t, c.PasswordInClear || c.TokenInClear || c.TokenInURL)
			signIns, requests = signIns+c.SignIns, requests+c.Requests
		}
		assert.Equal(t, 2+2+4, signIns, "two to try the token on another, two of the recipient, four guesses of which the fourth was refused")
		assert.LessOrEqual(t, requests, 30)
	})
}

func TestLiveWithoutCredentials(t *testing.T) {
	s, l := trapSite(t, trap.XMPLHonest, nil)
	l.RecipientID = ""
	r := observe(t, l).Judge()
	ruletest.Expect(t, r, connsec.Pass, securl.RuleDataOpen, securl.RuleHTTPSOff, securl.RuleLoginURL, securl.RuleUnthrottled, securl.RuleCookieUnsafe, securl.RuleAnyOrigin)
	ruletest.Expect(t, r, connsec.Inconclusive, securl.RuleSessionTooLong, securl.RuleSignOutIgnored)
	for _, c := range s.Observed() {
		assert.False(t, c.RealPassword)
	}
}

func TestLivePostures(t *testing.T) {
	for p, c := range map[trap.XMPLPosture]struct {
		want   connsec.Outcome
		rule   *connsec.Rule
		detail string
	}{
		trap.XMPLDataOpen:        {connsec.Fail, securl.RuleDataOpen, "3 values without a token (call context)"},
		trap.XMPLDirectOpen:      {connsec.Fail, securl.RuleDataOpen, "3 values without a token (call rid)"},
		trap.XMPLAnyRecipient:    {connsec.Fail, securl.RuleTokenOpensOthers, "2 values of another (call context)"},
		trap.XMPLTokenDecides:    {connsec.Pass, securl.RuleTokenOpensOthers, "none of it"},
		trap.XMPLStatedWeek:      {connsec.Fail, securl.RuleSessionTooLong, "168h"},
		trap.XMPLSignOutIgnored:  {connsec.Fail, securl.RuleSignOutIgnored, "after signing out"},
		trap.XMPLUnthrottled:     {connsec.Inconclusive, securl.RuleUnthrottled, "5 attempts"},
		trap.XMPLUnsafeCookies:   {connsec.Fail, securl.RuleCookieUnsafe, "session (login page) lacks Secure, HttpOnly, SameSite"},
		trap.XMPLHTTPLogin:       {connsec.Fail, securl.RuleLoginURL, "http://"},
		trap.XMPLHTTPServer:      {connsec.Fail, securl.RuleHTTPSOff, "http://"},
		trap.XMPLForeignLogin:    {connsec.Fail, securl.RuleLoginURL, "other.trap.test"},
		trap.XMPLLoginQuery:      {connsec.Fail, securl.RuleLoginURL, "query"},
		trap.XMPLLoginMissing:    {connsec.Fail, securl.RuleLoginURL, "no page"},
		trap.XMPLLoginNoForm:     {connsec.Fail, securl.RuleLoginURL, "no form"},
		trap.XMPLLoginToHTTP:     {connsec.Fail, securl.RuleLoginURL, "redirects to http://"},
		trap.XMPLAnyOrigin:       {connsec.Fail, securl.RuleAnyOrigin, "every origin"},
		trap.XMPLReflectedOrigin: {connsec.Fail, securl.RuleAnyOrigin, "with cookies"},
		trap.XMPLWrongError:      {connsec.Inconclusive, securl.RuleDataOpen, "status 401"},
		trap.XMPLNotJSON:         {connsec.Inconclusive, securl.RuleDataOpen, "no JSON"},
		trap.XMPLOversize:        {connsec.Inconclusive, securl.RuleDataOpen, "more than 1048576 bytes"},
		trap.XMPLEarlyClose:      {connsec.Inconclusive, securl.RuleDataOpen, "verified TLS"},
		trap.XMPLRedirecting:     {connsec.Inconclusive, securl.RuleDataOpen, "status 302"},
		trap.XMPLExpired:         {connsec.Inconclusive, securl.RuleDataOpen, "xmpcfg.js could not be had"},
		trap.XMPLWrongName:       {connsec.Inconclusive, securl.RuleDataOpen, "xmpcfg.js could not be had"},
		trap.XMPLUntrusted:       {connsec.Inconclusive, securl.RuleDataOpen, "xmpcfg.js could not be had"},
	} {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			s, l := trapSite(t, p, nil)
			r := observe(t, withOther(l)).Judge()
			ruletest.Expect(t, r, c.want, c.rule)
			assert.Contains(t, r.Of(c.rule)[0].Detail, c.detail)
			// One cause, one finding: nothing else of this package fails.
			for _, rule := range liveRules {
				if rule != c.rule {
					assert.NotEqual(t, connsec.Fail, r.Of(rule)[0].Outcome, rule.ID)
				}
			}
			out, err := json.Marshal(r)
			require.NoError(t, err)
			assert.NotContains(t, string(out), "trap-Password")
			impostor := p == trap.XMPLExpired || p == trap.XMPLWrongName || p == trap.XMPLUntrusted
			for _, seen := range s.Observed() {
				assert.False(t, seen.PasswordInClear || seen.TokenInClear || seen.TokenInURL, "nothing leaves in clear")
				assert.False(t, impostor && seen.Password, "and nothing goes to an impostor")
			}
		})
	}
}

// TestLiveOtherDoesNotTell: what proves nothing is no pass, and no failure either.
func TestLiveOtherDoesNotTell(t *testing.T) {
	o := securl.LiveObservation{Config: securl.SiteConfig{API: "https://a.example/x"}, Data: []securl.DataAnswer{{Call: "context", Status: 400, ErrorCode: 9, XMPL: true}}}
	answer := func(d securl.DataAnswer, own, other int) []securl.OtherAnswer {
		d.Call = "rid"
		closed := securl.OtherAnswer{DataAnswer: securl.DataAnswer{Call: "context", Status: 400, ErrorCode: 9}}
		return []securl.OtherAnswer{closed, {DataAnswer: d, Own: own, Other: other}}
	}
	for detail, answers := range map[string][]securl.OtherAnswer{
		"nothing was answered":    nil,
		"1 values of the one":     answer(securl.DataAnswer{Status: 200, Values: 3}, 1, 1),
		"two recipients apart":    answer(securl.DataAnswer{Status: 200, Values: 3}, 0, 0),
		"status 404":              answer(securl.DataAnswer{Status: 404}, 0, 0),
		"without values":          answer(securl.DataAnswer{Status: 200}, 0, 0),
		"not given to both":       answer(securl.DataAnswer{Status: 200, Values: 3, Problem: "their own data was not given to both"}, 0, 0),
		"the connection is reset": answer(securl.DataAnswer{Problem: "the connection is reset"}, 0, 0),
	} {
		o.Other = securl.OtherObserved{Asked: true, Answers: answers}
		r := o.Judge()
		ruletest.Expect(t, r, connsec.Inconclusive, securl.RuleTokenOpensOthers)
		assert.Contains(t, r.Of(securl.RuleTokenOpensOthers)[0].Detail, detail)
	}
	o.Other.Answers = make([]securl.OtherAnswer, 2)
	for i := range o.Other.Answers {
		o.Other.Answers[i] = securl.OtherAnswer{DataAnswer: securl.DataAnswer{Call: "rid", Status: 400, ErrorCode: 9, Problem: "their own data was not given to both"}}
	}
	ruletest.Expect(t, o.Judge(), connsec.Inconclusive, securl.RuleTokenOpensOthers) // it is closed to everybody
	o.Other.Answers = answer(securl.DataAnswer{Status: 200, Values: 3}, 2, 0)
	ruletest.Expect(t, o.Judge(), connsec.Pass, securl.RuleTokenOpensOthers)
	o.Other.Answers = answer(securl.DataAnswer{Status: 200, Values: 3}, 0, 1)
	ruletest.Expect(t, o.Judge(), connsec.Fail, securl.RuleTokenOpensOthers)

	// Wrong passwords, and two recipients that are one.
	_, l := trapSite(t, trap.XMPLHonest, nil)
	l = withOther(l)
	l.Guesses = -1
	l.OtherPassword = connsec.NewSecret("not hers")
	r := observe(t, l).Judge()
	ruletest.Expect(t, r, connsec.Inconclusive, securl.RuleTokenOpensOthers)
	assert.Contains(t, r.Of(securl.RuleTokenOpensOthers)[0].Detail, "the second recipient was answered with 400")
	ruletest.Expect(t, r, connsec.Pass, securl.RuleSignOutIgnored)
	ruletest.Expect(t, securl.LiveObservation{Config: o.Config, Data: o.Data}.Judge(), connsec.NotApplicable, securl.RuleTokenOpensOthers)
}

func TestLiveRandomRecipientOpen(t *testing.T) {
	_, l := trapSite(t, trap.XMPLDataOpen, nil)
	l.RecipientID = ""
	r := observe(t, l).Judge()
	ruletest.Expect(t, r, connsec.Inconclusive, securl.RuleDataOpen)
	assert.Contains(t, r.Of(securl.RuleDataOpen)[0].Detail, "name a recipient made for the test")
}

func TestLiveEndlessToken(t *testing.T) {
	var clock travel
	_, l := trapSite(t, trap.XMPLEndlessToken, clock.now)
	l.Password, l.Wait = connsec.NewSecret(trap.XMPLPassword), true
	l.Sleep = clock.sleep
	r := observe(t, l).Judge()
	ruletest.Expect(t, r, connsec.Fail, securl.RuleSessionTooLong)
	ruletest.Expect(t, r, connsec.Pass, securl.RuleSignOutIgnored)
}

func TestLiveManyGuesses(t *testing.T) {
	_, l := trapSite(t, trap.XMPLUnthrottled, nil)
	l.Guesses = securl.MostGuesses
	r := observe(t, l).Judge()
	ruletest.Expect(t, r, connsec.Inconclusive, securl.RuleUnthrottled) // a lock that nobody is told of looks the same
	assert.Contains(t, r.Of(securl.RuleUnthrottled)[0].Detail, "give its password")
	l.Password = connsec.NewSecret("not the recipient's")
	ruletest.Expect(t, observe(t, l).Judge(), connsec.Inconclusive, securl.RuleUnthrottled)
	l.Password = connsec.NewSecret(trap.XMPLPassword)
	r = observe(t, l).Judge()
	ruletest.Expect(t, r, connsec.Fail, securl.RuleUnthrottled)
	assert.Contains(t, r.Of(securl.RuleUnthrottled)[0].Detail, "right one was taken")
	l.Guesses = securl.MostGuesses - 1 // what NIST allows proves nothing
	ruletest.Expect(t, observe(t, l).Judge(), connsec.Inconclusive, securl.RuleUnthrottled)
	l.Guesses = -1
	o := observe(t, l)
	assert.Empty(t, o.Guesses.Answers)
	ruletest.Expect(t, o.Judge(), connsec.Inconclusive, securl.RuleUnthrottled)
}

// TestLiveSilentLock: a server need not say that it has locked a recipient.
func TestLiveSilentLock(t *testing.T) {
	_, l := trapSite(t, trap.XMPLSilentLock, nil)
	l.Guesses, l.Password = securl.MostGuesses, connsec.NewSecret(trap.XMPLPassword)
	o := observe(t, l)
	ruletest.Expect(t, o.Judge(), connsec.Pass, securl.RuleUnthrottled)
	assert.Len(t, o.Guesses.Answers, securl.MostGuesses)
}

// TestLiveGuessesNotLookedAt: an answer that is not about the password says nothing about guessing.
func TestLiveGuessesNotLookedAt(t *testing.T) {
	o := securl.LiveObservation{Data: []securl.DataAnswer{{Call: "context", Status: 400, ErrorCode: 9, XMPL: true}}, Config: securl.SiteConfig{API: "https://a.example/x"}}
	for _, a := range []securl.GuessAnswer{{Status: 403}, {Status: 500}, {Status: 503, RetryAfter: true}, {Status: 200}} {
		o.Guesses = securl.GuessesObserved{Known: true, Answers: slices.Repeat([]securl.GuessAnswer{a}, securl.MostGuesses), RightTried: true, RightTaken: true}
		ruletest.Expect(t, o.Judge(), connsec.Inconclusive, securl.RuleUnthrottled)
		o.Guesses.Answers = o.Guesses.Answers[:1]
		ruletest.Expect(t, o.Judge(), connsec.Inconclusive, securl.RuleUnthrottled)
	}
	for _, a := range []securl.GuessAnswer{{Status: 429}, {Status: 423}, {Status: 400, ErrorCode: 9, RetryAfter: true}} {
		o.Guesses = securl.GuessesObserved{Answers: []securl.GuessAnswer{{Status: 400, ErrorCode: 9}, a}}
		ruletest.Expect(t, o.Judge(), connsec.Pass, securl.RuleUnthrottled)
	}
}

// TestLiveSlidingToken: a token that every use prolongs is still good after an hour of use.
func TestLiveSlidingToken(t *testing.T) {
	var clock travel
	_, l := trapSite(t, trap.XMPLSlidingToken, clock.now)
	l.Password, l.Wait = connsec.NewSecret(trap.XMPLPassword), true
	l.Sleep = clock.sleep
	r := observe(t, l).Judge()
	ruletest.Expect(t, r, connsec.Fail, securl.RuleSessionTooLong)
	ruletest.Expect(t, r, connsec.Pass, securl.RuleSignOutIgnored)
}

// TestLiveLoginElsewhere: where a redirect leads counts as much as what stands in xmpcustom.js.
func TestLiveLoginElsewhere(t *testing.T) {
	s, l := trapSite(t, trap.XMPLLoginToForeign, nil)
	r := observe(t, l).Judge()
	ruletest.Expect(t, r, connsec.Fail, securl.RuleLoginURL)
	assert.Contains(t, r.Of(securl.RuleLoginURL)[0].Detail, "redirects to https://other.trap.test")
	assert.NotEmpty(t, s.Observed())
}

// TestLiveOriginOfOthers: the headers of a proxy's page say nothing about the XMPL server.
func TestLiveOriginOfOthers(t *testing.T) {
	o := securl.LiveObservation{Config: securl.SiteConfig{API: "https://a.example/x"}, CORS: securl.CORSAnswer{Asked: true},
		Data: []securl.DataAnswer{{Call: "context", Status: 404, Problem: "the answer is no JSON object"}}}
	ruletest.Expect(t, o.Judge(), connsec.Inconclusive, securl.RuleAnyOrigin)
	o.Data[0] = securl.DataAnswer{Call: "context", Status: 400, ErrorCode: 9, XMPL: true}
	ruletest.Expect(t, o.Judge(), connsec.Pass, securl.RuleAnyOrigin)
}

// TestLiveSiteIsKnown: the address that is looked at is the site's, unless the project says another.
func TestLiveSiteIsKnown(t *testing.T) {
	l := securl.Live{URL: "https://www.corp.example/spring/", Project: securl.Project{LoginURL: "https://other.example/login"}}
	ruletest.Expect(t, l.Validate(), connsec.Fail, securl.RuleLoginURL)
	l.Project.LoginURL = "https://www.corp.example/spring/login"
	ruletest.Expect(t, l.Validate(), connsec.Pass, securl.RuleLoginURL)
}

func TestLiveProbe(t *testing.T) {
	_, l := trapSite(t, trap.XMPLHTTPLogin, nil)
	l.Project = sound
	l.Project.SiteURL, l.Project.LoginURL = "", ""
	r, err := l.Probe(context.Background())
	require.NoError(t, err)
	for _, f := range r.Findings {
		assert.LessOrEqual(t, len(r.Of(f.Rule)), 1, "%s is said once", f.Rule.ID)
	}
	assert.Equal(t, l.URL, r.Of(securl.RuleLoginURL)[0].Subject, "what was seen says more than a setting that is not stated")
	ruletest.Expect(t, r, connsec.Fail, securl.RuleLoginURL, securl.RuleMD5Weak)

	l.Project.HTTPS = securl.Off
	r, err = l.Probe(context.Background())
	require.NoError(t, err)
	require.Len(t, r.Of(securl.RuleHTTPSOff), 1)
	assert.Equal(t, connsec.Fail, r.Of(securl.RuleHTTPSOff)[0].Outcome)

	l.API, l.AccessToken = "https://"+liveHost+"/nothing-here", "t"
	r, err = l.Probe(context.Background())
	require.NoError(t, err)
	ruletest.Expect(t, r, connsec.Inconclusive, securl.RuleDataOpen) // although SecURL is on
	l.API, l.AccessToken = "", ""

	l.Project.SecURL = securl.Off
	r, err = l.Probe(context.Background())
	require.NoError(t, err)
	require.Len(t, r.Of(securl.RuleDataOpen), 1)
	ruletest.Expect(t, r, connsec.Fail, securl.RuleDataOpen)
}

func TestLiveSettings(t *testing.T) {
	for want, change := range map[string]func(*securl.Live){
		"must be absolute":              func(l *securl.Live) { l.URL = "spring/" },
		"begin with https://":           func(l *securl.Live) { l.URL = "http://www.corp.example/" },
		"must not contain credentials":  func(l *securl.Live) { l.URL = "https://a:hunter2@www.corp.example/" },
		"at most 101":                   func(l *securl.Live) { l.Guesses = 102 },
		"need a recipient made for the": func(l *securl.Live) { l.Guesses, l.RecipientID = 6, "" },
		"the recipient that it is of":   func(l *securl.Live) { l.RecipientID, l.Password = "", connsec.NewSecret("hunter2") },
		"recipient and password":        func(l *securl.Live) { l.Wait = true },
		"or neither":                    func(l *securl.Live) { l.API = "https://a.example/x" },
		"second recipient and its":      func(l *securl.Live) { l.OtherPassword = connsec.NewSecret("hunter2") },
		"takes another one before it":   func(l *securl.Live) { l.OtherRecipientID, l.OtherPassword = "y", connsec.NewSecret("hunter2") },
		"site_url must be":              func(l *securl.Live) { l.Project.SiteURL = "here" },
	} {
		l := securl.Live{URL: "https://www.corp.example/", RecipientID: "x", Endpoint: tlscheck.Endpoint{Dialer: refuse{}}}
		change(&l)
		_, err := l.Probe(context.Background())
		require.ErrorContains(t, err, want)
		assert.NotContains(t, err.Error(), "hunter2")
		_ = l.Validate()
	}
}

// refuse is a network on which nothing may be asked.
type refuse struct{}

func (refuse) DialContext(context.Context, string, string) (net.Conn, error) {
	panic("a setting that is not sound must not be tried")
}

func TestLiveSlow(t *testing.T) {
	for _, p := range []trap.XMPLPosture{trap.XMPLStalled, trap.XMPLDripping} {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			_, l := trapSite(t, p, nil)
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			_, err := l.Observe(ctx)
			require.ErrorIs(t, err, context.DeadlineExceeded)
		})
	}
}

// TestLiveSlowed judges facts that a test cannot wait for.
func TestLiveSlowed(t *testing.T) {
	o := securl.LiveObservation{Data: []securl.DataAnswer{{Call: "context", Status: 400, ErrorCode: 9}}, Config: securl.SiteConfig{API: "https://a.example/x"}}
	wrong := func(took time.Duration) securl.GuessAnswer {
		return securl.GuessAnswer{Status: 400, ErrorCode: 9, Took: took}
	}
	o.Guesses.Answers = []securl.GuessAnswer{wrong(20 * time.Millisecond), wrong(2 * time.Second), wrong(4 * time.Second)}
	ruletest.Expect(t, o.Judge(), connsec.Pass, securl.RuleUnthrottled)
	o.Guesses.Answers = []securl.GuessAnswer{wrong(20 * time.Millisecond), wrong(900 * time.Millisecond)}
	ruletest.Expect(t, o.Judge(), connsec.Inconclusive, securl.RuleUnthrottled)
	// One slow answer may be the network's.
	o.Guesses.Answers = []securl.GuessAnswer{wrong(20 * time.Millisecond), wrong(20 * time.Millisecond), wrong(3 * time.Second)}
	ruletest.Expect(t, o.Judge(), connsec.Inconclusive, securl.RuleUnthrottled)
	changed := wrong(time.Millisecond)
	changed.Changed = true
	o.Guesses.Answers = []securl.GuessAnswer{wrong(time.Millisecond), changed}
	ruletest.Expect(t, o.Judge(), connsec.Inconclusive, securl.RuleUnthrottled)
	o.Guesses = securl.GuessesObserved{Accepted: true}
	ruletest.Expect(t, o.Judge(), connsec.Fail, securl.RuleDataOpen)
}

func TestCookieJudgement(t *testing.T) {
	for name, c := range map[string]struct {
		cookie   securl.CookieSeen
		want     connsec.Outcome
		severity connsec.Severity
	}{
		"all":                  {securl.CookieSeen{Name: "__Host-session", Secure: true, HTTPOnly: true, SameSite: "lax"}, connsec.Pass, connsec.Medium},
		"analytics":            {securl.CookieSeen{Name: "_ga", Secure: true}, connsec.Pass, connsec.Medium},
		"analytics over HTTP":  {securl.CookieSeen{Name: "_ga"}, connsec.Fail, connsec.Low},
		"session for scripts":  {securl.CookieSeen{Name: "ASP.NET_SessionId", Secure: true, SameSite: "lax"}, connsec.Fail, connsec.Medium},
		"no SameSite":          {securl.CookieSeen{Name: "xmpSecurityToken", Secure: true, HTTPOnly: true}, connsec.Fail, connsec.Low},
		"for all sites":        {securl.CookieSeen{Name: "xmpSecurityToken", Secure: true, HTTPOnly: true, SameSite: "none"}, connsec.Fail, connsec.Low},
		"session without TLS":  {securl.CookieSeen{Name: "sid", HTTPOnly: true, SameSite: "strict"}, connsec.Fail, connsec.Medium},
		"for the page's forms": {securl.CookieSeen{Name: "XSRF-TOKEN", Secure: true, SameSite: "lax"}, connsec.Pass, connsec.Medium},
		"forms of all sites":   {securl.CookieSeen{Name: "csrftoken", Secure: true}, connsec.Fail, connsec.Low},
		"a word that ends so":  {securl.CookieSeen{Name: "sidebar", Secure: true}, connsec.Pass, connsec.Medium},
		"sid behind a dot":     {securl.CookieSeen{Name: "connect.sid", Secure: true, SameSite: "lax"}, connsec.Fail, connsec.Medium},
		"sid at the end":       {securl.CookieSeen{Name: "PHPSID", Secure: true, SameSite: "lax"}, connsec.Fail, connsec.Medium},
		"upper case, no flags": {securl.CookieSeen{Name: "JSESSIONID"}, connsec.Fail, connsec.Medium},
	} {
		t.Run(name, func(t *testing.T) {
			r := securl.LiveObservation{Cookies: []securl.CookieSeen{c.cookie}}.Judge()
			ruletest.Expect(t, r, c.want, securl.RuleCookieUnsafe)
			assert.Equal(t, c.severity, r.Of(securl.RuleCookieUnsafe)[0].Severity)
		})
	}
	assert.True(t, strings.Contains(securl.RuleCookieUnsafe.Fix, "__Host-"))
}

// TestLiveOfGate: the probe finds nothing wrong with this package's own gate.
func TestLiveOfGate(t *testing.T) {
	s := newProtectedSite(t, withXMPL(newDatabase(t), nil))
	l := securl.Live{
		URL: "https://" + gateHost + "/campaign/", RecipientID: "ann", Password: connsec.NewSecret(annPassword), Wait: true,
		OtherRecipientID: "bob", OtherPassword: connsec.NewSecret(bobPassword),
		Endpoint: tlscheck.Endpoint{Connect: s.server.Listener.Addr().String(), Roots: s.ca.Pool()},
		Sleep:    func(_ context.Context, d time.Duration) error { s.clock.add(d); return nil },
	}
	r := observe(t, l).Judge()
	ruletest.Expect(t, r, connsec.Pass, liveRules...)
	ruletest.Expect(t, r, connsec.Pass, tlscheck.RuleHSTSMissing)
}
