package apisec

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/connsec/connsec"
)

// Credential is an identifier with the secret that proves it.
type Credential struct {
	// ClientID is what token requests carry as client_id.
	ClientID string `json:"client_id"`
	// KeyID is the server's name for this one secret, where a client can have several. Empty:
	// the client has one, and revoking it means removing the client. While another secret of that
	// client is in use, the issuer is not asked for that, but a person.
	KeyID string `json:"key_id,omitempty"`
	// Label is what [Issuer.Create] was given.
	Label string `json:"label,omitempty"`
	// Secret is never marshalled.
	Secret connsec.Secret `json:"-"`
	// Created is when the server made it; zero: not known, so that no date can be watched.
	Created time.Time `json:"created,omitzero"`
	// Expires is when the server stops accepting it by itself; zero: never.
	Expires time.Time `json:"expires,omitzero"`
}

// same reports whether the server means one credential by both.
func (c Credential) same(o Credential) bool { return c.ClientID == o.ClientID && c.KeyID == o.KeyID }

// is reports whether clients that have c have o: the name at the server is nothing to them.
func (c Credential) is(o Credential) bool {
	return c.ClientID == o.ClientID && c.Secret.Equal(o.Secret)
}

// String names the credential without its secret.
func (c Credential) String() string {
	if c.KeyID == "" {
		return c.ClientID
	}
	return c.ClientID + " (" + c.KeyID + ")"
}

// public is the credential for those who need not know the secret.
func (c Credential) public() Credential {
	c.Secret = connsec.Secret{}
	return c
}

// Issuer makes and revokes credentials at the server. Any method may answer with an
// [*ActionError] if that is for a person to do.
type Issuer interface {
	// Create makes one new credential, which carries the label at the server wherever Lookup
	// looks for it. It must not touch any other. After an error it may be there all the same;
	// Lookup will tell.
	Create(ctx context.Context, label string) (Credential, error)
	// Lookup returns every live credential that carries exactly this label, and no other, with
	// its Label. Most servers show a secret only once; without Secret the credential is of no
	// use, and is revoked.
	Lookup(ctx context.Context, label string) ([]Credential, error)
	// Revoke ends a credential, which comes without its Secret. One that is not there is no
	// error.
	Revoke(ctx context.Context, c Credential) error
}

// Distributor brings credentials to where clients read them. Each method is called again with
// the same credential after a crash, and then does nothing more. Any may answer with an
// [*ActionError] if that is for a person to do.
type Distributor interface {
	// Stage puts a credential beside the one in use, which stays in use.
	Stage(ctx context.Context, next Credential) error
	// Activate puts it in use.
	Activate(ctx context.Context, next Credential) error
	// Discard removes a staged credential that will not be used. It must not remove the one in
	// use, and comes without its Secret. One that is not there is no error.
	Discard(ctx context.Context, next Credential) error
}

// Reader is a [Distributor] that can tell what clients read now. Nothing is revoked then unless
// it is the credential that the state takes for the one in use: a configuration tool may have put
// the old one back, or the state may be older than the truth. A type that wraps a Distributor has
// to pass Read on.
type Reader interface {
	// Read returns the identifier and the secret that clients read.
	Read(ctx context.Context) (Credential, error)
}

// Verifier asks the server whether a credential works. Nil means that it does. An error with
// a method Refused() bool that is true, such as [*TokenError], means that the server does not
// accept it. Any other error proves nothing in either direction.
//
// [Rotation.Start] asks once about a credential with the ClientID in use, a random secret and no
// KeyID, which has to be refused.
type Verifier interface {
	Verify(ctx context.Context, c Credential) error
}

// TimedVerifier is a [Verifier] that also tells the server's time. With it, a clock that is set
// forward here does not cut short the time in which the old secret drains. A type that wraps a
// Verifier has to pass VerifyAt on, and one that embeds it to replace both; one without VerifyAt
// is for tests with a clock of their own.
type TimedVerifier interface {
	Verifier
	// VerifyAt is Verify, and returns what the server's clock showed; zero: it did not say.
	VerifyAt(ctx context.Context, c Credential) (time.Time, error)
}

// VerifierFunc is a function as a [Verifier].
type VerifierFunc func(context.Context, Credential) error

// Verify calls the function.
func (f VerifierFunc) Verify(ctx context.Context, c Credential) error { return f(ctx, c) }

// TokenVerifier verifies by asking for a token, once, as [Client.Token] does. ID and Secret of
// the client are those of the credential.
//
// That the secret is weak, shared or badly kept does not keep it from being sent: it is asked
// about so that it can be replaced. What protects it on its way holds as ever.
type TokenVerifier struct{ Client Client }

// Verify asks for a token, which it does not keep.
func (v TokenVerifier) Verify(ctx context.Context, c Credential) error {
	_, err := v.VerifyAt(ctx, c)
	return err
}

// VerifyAt implements [TimedVerifier] by the Date of the answer.
func (v TokenVerifier) VerifyAt(ctx context.Context, c Credential) (time.Time, error) {
	client := v.Client
	client.ID, client.Secret = c.ClientID, c.Secret
	client.Waivers = slices.Clone(client.Waivers)
	for _, rule := range aboutKeeping {
		client.Waivers = append(client.Waivers, connsec.Waiver{Rule: rule.ID, Reason: "the secret is about to be replaced", Until: client.now().Add(time.Hour)})
	}
	token, err := client.Token(ctx)
	return token.At, err
}

// aboutKeeping are rules about a secret, and not about where it is sent.
var aboutKeeping = []*connsec.Rule{RuleSecretWeak, RuleSecretShared, RuleSecretLiteral}

// ActionError says what a person has to do before the rotation can go on. Nothing was done.
type ActionError struct {
	Todo string // one sentence, without a secret
}

func (e *ActionError) Error() string { return "apisec: a person has to act: " + e.Todo }

// HandIssuer is a server without an interface for this, where a person makes and removes
// credentials. Where a client has only one secret, as in MyQ, the next credential is that of
// a second client: the two overlap, and the old client is removed.
type HandIssuer struct {
	// Next is what the person made; nil: not made yet.
	Next *Credential
}

// Create returns Next.
func (h HandIssuer) Create(_ context.Context, label string) (Credential, error) {
	if h.Next == nil {
		return Credential{}, &ActionError{fmt.Sprintf("make a second secret at the server, or a second client where a client has one secret, and name it %s", label)}
	}
	next := *h.Next
	if next.KeyID == "" {
		next.KeyID = label
	}
	return next, nil
}

// Lookup finds nothing: only the person knows.
func (HandIssuer) Lookup(context.Context, string) ([]Credential, error) { return nil, nil }

// Revoke asks the person. The rotation notices by itself when it was done.
func (HandIssuer) Revoke(_ context.Context, c Credential) error {
	return &ActionError{fmt.Sprintf("remove the secret of client %s at the server", c)}
}

// HandDistributor leaves it to a person to put the secret where clients read it.
type HandDistributor struct {
	// Done says that the person has put the next credential in use.
	Done bool
}

// Stage does nothing.
func (HandDistributor) Stage(context.Context, Credential) error { return nil }

// Activate asks for it until Done.
func (h HandDistributor) Activate(_ context.Context, next Credential) error {
	if h.Done {
		return nil
	}
	return &ActionError{fmt.Sprintf("let every client use %s with its secret, and say that this is done", next)}
}

// Discard does nothing.
func (HandDistributor) Discard(context.Context, Credential) error { return nil }

// Standing is what the server thinks of a credential. The zero value is that it could not be
// told.
type Standing uint8

const (
	// Untold: never asked, or the answer proved nothing.
	Untold Standing = iota
	// Works: the server accepted it.
	Works
	// Refused: the server said that it does not accept it.
	Refused
)

// standing reads a verifier's answer.
func standing(err error) Standing {
	var refused interface{ Refused() bool }
	switch {
	case err == nil:
		return Works
	case errors.As(err, &refused) && refused.Refused():
		return Refused
	}
	return Untold
}
