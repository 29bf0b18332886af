package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
	"github.com/connsec/connsec/audit"
	"github.com/connsec/connsec/report"
)

func secretRotateCommand() command {
	return command{
		name: "secret rotate", about: "replace the secret of a REST client, step by step, so that one works at every moment",
		sub: []command{rotateStart(), rotateContinue(), rotateStatus(), rotateAbort(), rotateAdopt()},
	}
}

// rotateFlags are those of every step.
type rotateFlags struct {
	state  string
	policy apisec.RotationPolicy

	asks   bool // the server, which takes the flags of declareServer
	url    string
	style  apisec.Style
	place  string
	format apisec.SecretFormat

	id, secretFile, created string // of the secret in use
	nextID, nextFile        string
	generate                bool
	done, acceptClock       bool
}

// declareState adds the flags of all steps.
func (f *rotateFlags) declareState(fs *flag.FlagSet) {
	fs.StringVar(&f.state, "state", "", "`FILE` that remembers the rotation; mode 0600, holds secrets while a turn is open")
	for _, d := range []struct {
		to          *time.Duration
		name, about string
	}{
		{&f.policy.MaxAge, "max-age", "`TIME` that a secret may live (default 90d)"},
		{&f.policy.Warn, "warn", "`TIME` before that at which a turn is due (default 14d)"},
		{&f.policy.Overlap, "overlap", "`TIME` that the old secret lives on (default 24h; 0: none, for one that leaked)"},
	} {
		fs.Func(d.name, d.about, func(s string) (err error) {
			*d.to, err = parseSpan(s)
			if *d.to == 0 { // in the policy, zero is the default
				*d.to = -1
			}
			return err
		})
	}
}

// declareServer adds those of the steps that ask the server.
func (f *rotateFlags) declareServer(fs *flag.FlagSet) {
	f.asks = true
	fs.StringVar(&f.url, "url", "", "token endpoint, `URL`; it is the name of the rotation, too")
	fs.TextVar(&f.style, "style", f.style, "`STYLE` of token requests: basic (default), form, json")
	fs.StringVar(&f.place, "place", "", "`FILE` that clients read their secret from; without it a person brings it to them")
	fs.TextVar(&f.format, "place-format", f.format, "`FORMAT` of that file: pair (default: client_id and client_secret in JSON), bare (the secret alone)")
}

func (f *rotateFlags) declareCurrent(fs *flag.FlagSet) {
	fs.StringVar(&f.id, "id", "", "client `ID` in use, unless the file at --place says it")
	fs.StringVar(&f.secretFile, "secret-file", "", "`FILE` with its secret alone, unless that is at --place")
	fs.StringVar(&f.created, "created", "", "`DATE` on which that was made (2027-01-31)")
}

func (f *rotateFlags) declareNext(fs *flag.FlagSet) {
	fs.StringVar(&f.nextID, "next-id", "", "client `ID` of the next secret (default: the one in use)")
	fs.StringVar(&f.nextFile, "next-file", "", "`FILE` with the next secret alone")
}

func (f *rotateFlags) declareGenerate(fs *flag.FlagSet) {
	fs.BoolVar(&f.generate, "generate", false, "make the next secret, and put it into --next-file for a server that takes one")
}

func (f *rotateFlags) declareContinue(fs *flag.FlagSet) {
	fs.BoolVar(&f.done, "done", false, "without --place: every client uses the next secret now")
	fs.BoolVar(&f.acceptClock, "accept-clock", false, "the clock is right now, and the dates in the state are not; every wait begins anew")
}

// distributor is the file, or a person.
func (f *rotateFlags) distributor(id string) apisec.Distributor {
	if f.place == "" {
		return apisec.HandDistributor{Done: f.done}
	}
	return apisec.FileDistributor{Path: f.place, Format: f.format, ClientID: id}
}

// rotation is what the flags describe.
func (f *rotateFlags) rotation(ctx context.Context, c *call) (apisec.Rotation, error) {
	r := apisec.Rotation{Name: f.url, Store: apisec.FileStore{Path: f.state}, Policy: f.policy}
	switch {
	case len(c.args) > 0:
		return r, usagef("it takes flags only; a secret in an argument would be seen by every user of this machine")
	case f.state == "":
		return r, usagef("which --state?")
	case !f.asks:
		return r, nil
	case f.url == "":
		return r, usagef("which --url?")
	}
	client := apisec.Client{TokenURL: f.url, Style: f.style, Connect: c.common.connect, Storage: apisec.SecretFile}
	var err error
	if client.Roots, client.Known, _, err = c.common.trust(ctx); err != nil {
		return r, err
	}
	r.Verifier = apisec.TokenVerifier{Client: client}
	id := f.id
	current, err := r.Observe(ctx)
	switch {
	case err == nil && id == "":
		id = current.State.Current.ClientID
	case err != nil && !errors.Is(err, apisec.ErrNoRotation):
		return r, err
	}
	r.Distributor = f.distributor(id)
	issuer := apisec.HandIssuer{}
	if f.nextFile != "" {
		if f.nextID == "" {
			f.nextID = id
		}
		next, err := apisec.FileDistributor{Path: f.nextFile, Format: apisec.BareFormat, ClientID: f.nextID}.Read(ctx)
		if err != nil {
			return r, err
		}
		issuer.Next = &next
	} else if f.nextID != "" {
		return r, usagef("--next-id needs --next-file")
	}
	r.Issuer = issuer
	return r, nil
}

// current reads the credential in use.
func (f *rotateFlags) current(ctx context.Context, r apisec.Rotation) (c apisec.Credential, err error) {
	switch place, is := r.Distributor.(apisec.FileDistributor); {
	case f.secretFile != "":
		if f.id == "" {
			return c, usagef("--secret-file needs --id")
		}
		c, err = apisec.FileDistributor{Path: f.secretFile, Format: apisec.BareFormat, ClientID: f.id}.Read(ctx)
	case is:
		c, err = place.Read(ctx)
	default:
		return c, usagef("give --place, or --id and --secret-file, for the secret in use")
	}
	if err != nil {
		return c, err
	}
	// The server's name for it is known if it came into use by a turn.
	if o, err := r.Observe(ctx); err == nil && o.State.Current.ClientID == c.ClientID {
		c.KeyID = o.State.Current.KeyID
	}
	if f.created == "" {
		return c, nil
	}
	var d audit.Date
	if err := d.UnmarshalText([]byte(f.created)); err != nil {
		return c, usagef("%s", err)
	}
	c.Created = d.Time
	return c, nil
}

// rotateStep is the command of one step: the flags that it has, and what it does.
func rotateStep(name, about string, shares shared, declare []func(*rotateFlags, *flag.FlagSet),
	do func(context.Context, *call, *rotateFlags) (apisec.RotationObservation, error),
) command {
	return command{
		name: "secret rotate " + name, about: about, shares: reportFlags | shares,
		setup: func(fs *flag.FlagSet, _ *common) func(context.Context, *call) error {
			var f rotateFlags
			f.declareState(fs)
			for _, d := range declare {
				d(&f, fs)
			}
			return func(ctx context.Context, c *call) error { return c.finishRotation(do(ctx, c, &f)) }
		},
	}
}

// rotateServer are the shared flags of the steps that ask the server. Asking for a token looks at no
// revocation list; connsec rest does.
const rotateServer = flagConnect | flagCA

func rotateStart() command {
	return rotateStep("start", "begin a turn, and go as far as it may without a person", rotateServer,
		[]func(*rotateFlags, *flag.FlagSet){(*rotateFlags).declareServer, (*rotateFlags).declareCurrent, (*rotateFlags).declareNext, (*rotateFlags).declareGenerate},
		func(ctx context.Context, c *call, f *rotateFlags) (o apisec.RotationObservation, err error) {
			made := f.nextFile
			if f.generate {
				if made == "" {
					return o, usagef("--generate needs --next-file")
				}
				if _, err := os.Lstat(made); err == nil {
					return o, fmt.Errorf("%s is there already, and is not replaced", made)
				}
				f.nextFile, f.nextID = "", "" // the server has to take it first
			}
			r, err := f.rotation(ctx, c)
			if err != nil {
				return o, err
			}
			current, err := f.current(ctx, r)
			if err != nil {
				return o, err
			}
			o, err = r.Start(ctx, current)
			if err == nil && f.generate {
				if err = (apisec.FileDistributor{Path: made, Format: apisec.BareFormat}).Activate(ctx, apisec.Credential{Secret: apisec.NewSecret()}); err == nil {
					c.note("a new secret is in %s: let the server take it, then continue with --next-file; remove the file when the turn has ended", made)
				}
			}
			if err == nil {
				o, err = r.Continue(ctx)
			}
			f.noteNextFile(c, o)
			return o, err
		})
}

// noteNextFile reminds of a copy of the secret that nobody needs any more.
func (f *rotateFlags) noteNextFile(c *call, o apisec.RotationObservation) {
	s := o.State
	if f.nextFile != "" && f.place != "" && s.Old != nil && s.Failure == nil {
		c.note("clients have the secret from %s now: remove %s", f.place, f.nextFile)
	}
}

func rotateContinue() command {
	return rotateStep("continue", "go on with a turn as far as it may, and say who has to do what next", rotateServer,
		[]func(*rotateFlags, *flag.FlagSet){(*rotateFlags).declareServer, (*rotateFlags).declareNext, (*rotateFlags).declareContinue},
		func(ctx context.Context, c *call, f *rotateFlags) (o apisec.RotationObservation, err error) {
			r, err := f.rotation(ctx, c)
			if err == nil && f.acceptClock {
				_, err = r.AcceptClock(ctx)
			}
			if err != nil {
				return o, err
			}
			o, err = r.Continue(ctx)
			f.noteNextFile(c, o)
			return o, err
		})
}

func rotateStatus() command {
	return rotateStep("status", "say where a rotation is and what is due; asks nobody", flagAsOf, nil,
		func(ctx context.Context, c *call, f *rotateFlags) (o apisec.RotationObservation, err error) {
			r, err := f.rotation(ctx, c)
			if err != nil {
				return o, err
			}
			if asOf := c.common.asOf; !asOf.IsZero() {
				r.Now = func() time.Time { return asOf.Time }
			}
			return r.Observe(ctx)
		})
}

func rotateAbort() command {
	return rotateStep("abort", "give a turn up: the next secret is taken back, or the old one put in use again", rotateServer,
		[]func(*rotateFlags, *flag.FlagSet){(*rotateFlags).declareServer},
		func(ctx context.Context, c *call, f *rotateFlags) (o apisec.RotationObservation, err error) {
			r, err := f.rotation(ctx, c)
			if err != nil {
				return o, err
			}
			if o, err = r.Abort(ctx); err == nil {
				o, err = r.Continue(ctx)
			}
			return o, err
		})
}

func rotateAdopt() command {
	return rotateStep("adopt", "remember the secret in use, so that its dates are watched", rotateServer,
		[]func(*rotateFlags, *flag.FlagSet){(*rotateFlags).declareServer, (*rotateFlags).declareCurrent},
		func(ctx context.Context, c *call, f *rotateFlags) (o apisec.RotationObservation, err error) {
			r, err := f.rotation(ctx, c)
			if err != nil {
				return o, err
			}
			current, err := f.current(ctx, r)
			if err != nil {
				return o, err
			}
			return r.Adopt(ctx, current)
		})
}

// rotationJSON is everything about a rotation in JSON.
type rotationJSON struct {
	Rotation apisec.RotationObservation `json:"rotation"`
	Next     string                     `json:"next"`
	From     time.Time                  `json:"from,omitzero"`
	Report   connsec.Report             `json:"report"`
	Error    string                     `json:"error,omitempty"`
}

// finishRotation shows the state, also after an error, and what it amounts to.
func (c *call) finishRotation(o apisec.RotationObservation, failed error) error {
	if o.At.IsZero() { // there is no state
		return c.rotationError(failed)
	}
	r := o.Judge()
	var amounts error
	if c.common.format == report.JSON {
		reports := []connsec.Report{r}
		if err := c.waive(reports); err != nil {
			return err
		}
		r = reports[0]
		out := rotationJSON{Rotation: o, Report: r}
		out.Next, out.From = o.Next()
		if failed != nil {
			out.Error = oneLine(failed)
		}
		if err := writeJSON(c.out, out); err != nil {
			return err
		}
		amounts = exitCode([]connsec.Report{r}, c.common.failOn)
	} else {
		if c.common.format == report.Text {
			c.writeRotation(o)
		}
		amounts = c.finish([]connsec.Report{r})
	}
	if failed == nil {
		return amounts
	}
	return c.rotationError(failed)
}

// rotationError gives an error the exit status that it has elsewhere.
func (c *call) rotationError(failed error) error {
	switch {
	case errors.Is(failed, apisec.ErrCannotTell):
		return unreached{failed}
	case errors.Is(failed, apisec.ErrCurrentRefused), errors.Is(failed, apisec.ErrNotInUse), errors.Is(failed, apisec.ErrAcceptsAnything):
		c.note("%s", oneLine(failed))
		return outcome(exitFindings)
	}
	return failed
}

func (c *call) writeRotation(o apisec.RotationObservation) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(c.out, "  %-8s %s\n", name, hang(11, printable(fmt.Sprintf(format, args...))))
	}
	day := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
	s := o.State
	fmt.Fprintf(c.out, "%s\n", printable(s.Name))
	line("step", "%s, since %s", s.Step, day(s.Since))
	line("in use", "%s, %s on %s", s.Current.Credential, map[apisec.Standing]string{apisec.Works: "worked", apisec.Refused: "REFUSED"}[s.Current.Standing], day(s.Current.Looked))
	if s.Next != nil {
		line("next", "%s", s.Next.Credential)
	}
	if s.Old != nil {
		line("old", "%s", s.Old.Credential)
	}
	if due, known := o.Due(); known {
		line("due", "%s", day(due))
	}
	if s.Failure != nil {
		line("given up", "%s: %s", day(s.Failure.At), s.Failure.Reason)
	}
	what, from := o.Next()
	if !from.IsZero() {
		what = "from " + day(from) + " on: " + what
	}
	line("to do", "%s", what)
	line("then", "connsec secret rotate %s …", thenRun(o))
	fmt.Fprintln(c.out)
}

// thenRun is the command that follows on what is to do; the flags that say where things are stay.
func thenRun(o apisec.RotationObservation) string {
	s := o.State
	_, known := o.Due()
	switch {
	case s.Clock.Sub(o.At) > time.Minute:
		return "continue --accept-clock"
	case s.Step == apisec.Creating && s.Todo != "":
		return "continue --next-id ID --next-file FILE"
	case s.Step == apisec.Activating && s.Todo != "":
		return "continue --done"
	case s.Step == apisec.Steady && !known:
		return "adopt --created DATE"
	case s.Step == apisec.Steady:
		return "start"
	}
	return "continue"
}
