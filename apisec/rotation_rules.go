package apisec

import (
	"fmt"
	"time"

	"github.com/connsec/connsec"
)

// RotationObservation is a rotation's state at a time, without its secrets.
type RotationObservation struct {
	State RotationState `json:"state"`
	At    time.Time     `json:"at"`
}

func (t *turn) observe() RotationObservation {
	return RotationObservation{State: t.s.public(), At: t.r.now()}
}

func (o RotationObservation) subject() string {
	if o.State.Name != "" {
		return o.State.Name
	}
	return o.State.Current.ClientID
}

// Due is when the current credential has to be replaced: at its greatest age, or when it
// expires. False: nobody knows how old it is, and it does not expire.
func (o RotationObservation) Due() (time.Time, bool) {
	c := o.State.Current
	due := c.Expires
	if !c.Created.IsZero() {
		if aged := c.Created.Add(o.State.Policy.MaxAge); due.IsZero() || aged.Before(due) {
			due = aged
		}
	}
	return due, !due.IsZero()
}

// Next says what comes next, in words for a person, and from when on. A zero time means that it
// can be done now.
func (o RotationObservation) Next() (what string, from time.Time) {
	s := o.State
	if s.Clock.Sub(o.At) > clockTolerance {
		return "set the clock right, or accept it: it is behind the state of the rotation", time.Time{}
	}
	if s.Todo != "" {
		return s.Todo + "; then continue", time.Time{}
	}
	if from = s.earliest(); !from.After(o.At) {
		from = time.Time{}
	}
	switch s.Step {
	case Creating:
		what = "continue: the next credential is made"
	case Staging, Verifying:
		what = fmt.Sprintf("continue: %s has to be seen to work", s.Next.Credential)
	case Activating:
		what = fmt.Sprintf("continue: %s is put in use", s.Next.Credential)
	case Draining, Revoking:
		what = fmt.Sprintf("continue: %s is revoked", s.Old.Credential)
	case Confirming:
		what = fmt.Sprintf("continue: %s has to be seen to be refused", s.Old.Credential)
	case Discarding:
		what = "continue: the turn is taken back"
	default:
		due, known := o.Due()
		if !known {
			return "find out when the credential was made, and adopt it with that date", time.Time{}
		}
		if from = due.Add(-s.Policy.Warn); !from.After(o.At) {
			from = time.Time{}
		}
		what = "start a turn"
	}
	return what, from
}

// Judge applies the rules about rotations.
func (o RotationObservation) Judge() connsec.Report {
	return connsec.Report{Target: o.subject(), At: o.At, Findings: connsec.Run(o.subject(), o, rotationChecks)}
}

var rotationChecks = []connsec.Check[RotationObservation]{
	{Rule: RuleRotationDue, Judge: judgeRotationDue},
	{Rule: RuleRotationOverdue, Judge: judgeRotationOverdue},
	{Rule: RuleRotationStalled, Judge: judgeRotationStalled},
	{Rule: RuleRotationOverlap, Judge: judgeRotationOverlap},
	{Rule: RuleRotationFailed, Judge: judgeRotationFailed},
	{Rule: RuleNotRevoked, Judge: judgeNotRevoked},
	{Rule: RuleCurrentRefused, Judge: judgeCurrentRefused},
}

var policyChecks = []connsec.Check[RotationPolicy]{{Rule: RuleRotationOverlap, Judge: judgeOverlapPolicy}}

const undated = "nobody recorded when the credential was made, and it does not expire"

// RuleRotationDue speaks before the policy does.
var RuleRotationDue = &connsec.Rule{
	ID: "api-rotation-due", Title: "The client secret is to be replaced soon",
	Why:      "A turn takes days, because the old secret has to drain. Begun after the date, it ends with a secret older than the policy allows, or in haste.",
	Fix:      "Start a turn (connsec secret rotate start).",
	Severity: connsec.Low, Refs: []connsec.Citation{owasp("2.7.2 Rotation")}, Since: "0.1.0",
}

func judgeRotationDue(o RotationObservation) connsec.Verdict {
	due, known := o.Due()
	switch {
	case o.State.replacing():
		return connsec.Passed("a turn is under way")
	case !known:
		return connsec.Unknown(undated)
	case !o.At.Before(due):
		return connsec.Skipped("it is overdue")
	case o.At.Before(due.Add(-o.State.Policy.Warn)):
		return connsec.Passed("it is due on %s", date(due))
	}
	return connsec.Failed("it is due on %s, and no turn was started", date(due)).With("due", date(due))
}

// replacing reports whether the current credential is about to be replaced.
func (s RotationState) replacing() bool {
	switch s.Step {
	case Creating, Staging, Verifying, Activating:
		return true
	}
	return false
}

// RuleRotationOverdue is the policy itself.
var RuleRotationOverdue = &connsec.Rule{
	ID: "api-rotation-overdue", Title: "The client secret is older than the policy allows",
	Why:      "The longer a secret lives, the more copies of it there are: in backups, logs, tickets, and with people who left. Each opens the API until it is replaced.",
	Fix:      "Start a turn, or continue the one that is open (connsec secret rotate).",
	Severity: connsec.High, Refs: []connsec.Citation{owasp("2.7.2 Rotation")}, Since: "0.1.0",
}

func judgeRotationOverdue(o RotationObservation) connsec.Verdict {
	due, known := o.Due()
	switch {
	case !known:
		return connsec.Unknown(undated)
	case o.At.Before(due):
		return connsec.Passed("it is due on %s", date(due))
	}
	return connsec.Failed("it was due on %s", date(due)).With("due", date(due))
}

// RuleRotationStalled finds turns that nobody carries on.
var RuleRotationStalled = &connsec.Rule{
	ID: "api-rotation-stalled", Title: "A turn of the rotation stands still",
	Why:      "While a turn is open two secrets live, and the state holds both. One that was begun and forgotten protects nobody.",
	Fix:      "Look at connsec secret rotate status for what is waited for, do it, and continue; or abort.",
	Severity: connsec.High, Refs: []connsec.Citation{owasp("2.7.2 Rotation")}, Since: "0.1.0",
}

func judgeRotationStalled(o RotationObservation) connsec.Verdict {
	s := o.State
	open := s.Since // since when it could have been done
	if from := s.earliest(); from.After(open) {
		open = from
	}
	switch {
	case s.Clock.Sub(o.At) > clockTolerance:
		return connsec.Failed("the state is dated %s, and the clock says %s: nothing is done until one of them is put right", s.Clock.Format(time.RFC3339), o.At.Format(time.RFC3339))
	case s.Step == Steady:
		return connsec.Passed("no turn is under way")
	case s.overstays():
		return connsec.Skipped("the server goes on accepting the old secret")
	case s.Step == Confirming, s.Step == Verifying, s.Step == Activating: // each look moves the date of the next
		open = s.Since
	}
	if late := o.At.Sub(open); late > s.Policy.Stall {
		return connsec.Failed("step %s could have been done %s ago", s.Step, late.Round(time.Minute)).With("step", s.Step)
	}
	return connsec.Passed("step %s is in time", s.Step)
}

// RuleRotationOverlap bounds the time in which two secrets live.
var RuleRotationOverlap = &connsec.Rule{
	ID: "api-rotation-overlap-long", Title: "Two client secrets are valid for longer than 72 hours",
	Why:      "The old secret is replaced because it may be known. As long as it is accepted beside the new one, nothing has changed for who knows it. No standard gives a number; three days let a weekend pass.",
	Fix:      "Let the old secret drain for a day, at most three, and revoke it: continue the turn.",
	Severity: connsec.Medium, Refs: []connsec.Citation{owasp("2.7.3 Revocation")}, Since: "0.1.0",
}

func judgeOverlapPolicy(p RotationPolicy) connsec.Verdict {
	if p.Overlap > mostOverlap {
		return connsec.Failed("the policy lets the old secret live for %s beside the new one", p.Overlap)
	}
	return connsec.Passed("the policy lets the old secret live for %s beside the new one", p.overlap())
}

func judgeRotationOverlap(o RotationObservation) connsec.Verdict {
	s := o.State
	var since time.Time
	switch {
	case s.Next != nil:
		since = s.Next.Recorded
	case s.Old != nil: // two live since the younger of both is known
		since = s.Current.Recorded
		if s.Old.Recorded.After(since) {
			since = s.Old.Recorded
		}
	default:
		return judgeOverlapPolicy(s.Policy)
	}
	if v := judgeOverlapPolicy(s.Policy); v.Outcome != connsec.Pass {
		return v
	}
	if both := o.At.Sub(since); both > mostOverlap {
		return connsec.Failed("two secrets have been valid since %s", date(since)).With("since", date(since))
	}
	return connsec.Passed("two secrets are valid since %s", date(since))
}

// RuleRotationFailed reports a turn that was given up.
var RuleRotationFailed = &connsec.Rule{
	ID: "api-rotation-failed", Title: "The last turn of the rotation was given up",
	Why:      "The secret that should have been replaced is still in use.",
	Fix:      "See why the server did not accept the next secret, and start another turn.",
	Severity: connsec.High, Refs: []connsec.Citation{owasp("2.7.2 Rotation")}, Since: "0.1.0",
}

func judgeRotationFailed(o RotationObservation) connsec.Verdict {
	switch f := o.State.Failure; {
	case f == nil && o.State.Turns == 0:
		return connsec.Passed("no turn was given up")
	case f == nil:
		return connsec.Passed("the last turn did not fail")
	case f.Aborted:
		return connsec.Passed("an operator gave the last turn up on %s", date(f.At))
	default:
		return connsec.Failed("on %s: %s", date(f.At), f.Reason)
	}
}

// RuleNotRevoked is what a rotation is for.
var RuleNotRevoked = &connsec.Rule{
	ID: "api-secret-not-revoked", Title: "The server accepts a client secret that was revoked",
	Why:      "Whoever has the old secret, which is why it was replaced, still gets tokens.",
	Fix:      "Remove the secret at the server, or the client that it belongs to; restart what keeps answers. Then continue.",
	Severity: connsec.Critical, Refs: []connsec.Citation{owasp("2.7.3 Revocation"), rfc("6819", "5.2.3.6")}, Since: "0.1.0",
}

func judgeNotRevoked(o RotationObservation) connsec.Verdict {
	s := o.State
	switch {
	case s.overstays():
		return connsec.Failed("%s still works %s after it was revoked", s.Old.Credential, s.Tries.Last.Sub(s.Since).Round(time.Second)).With("looks", s.Tries.Count)
	case s.Step == Confirming:
		return connsec.Unknown("%s was revoked, and was not seen to be refused yet", s.Old.Credential)
	case s.Step != Steady:
		return connsec.Skipped("nothing is revoked yet")
	case s.Turns == 0 && s.Failure == nil:
		return connsec.Skipped("there was no turn yet")
	}
	return connsec.Passed("what the last turn revoked was refused")
}

// RuleCurrentRefused reports that clients stand outside.
var RuleCurrentRefused = &connsec.Rule{
	ID: "api-rotation-current-refused", Title: "The server refuses the client secret in use",
	Why:      "Clients get no token. In the haste that follows, people put secrets where they do not belong.",
	Fix:      "While the old one drains, abort: it is put in use again. Otherwise put a secret in use that works, and adopt it.",
	Severity: connsec.High, Refs: []connsec.Citation{rfc("6749", "5.2")}, Since: "0.1.0",
}

func judgeCurrentRefused(o RotationObservation) connsec.Verdict {
	switch c := o.State.Current; c.Standing {
	case Works:
		return connsec.Passed("it worked on %s", date(c.Looked))
	case Refused:
		return connsec.Failed("%s was refused on %s", c.Credential, date(c.Looked))
	}
	return connsec.Unknown("the server was not asked yet")
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
