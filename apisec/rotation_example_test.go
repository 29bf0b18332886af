package apisec_test

import (
	"context"
	"fmt"
	"time"

	"github.com/connsec/connsec/apisec"
)

// A server that a person works at, as MyQ is one: the state says who has to do what, and when.
func ExampleRotation() {
	ctx := context.Background()
	w := newWorld() // stands for a server and its clients
	r := apisec.Rotation{
		Store:       &apisec.MemoryStore{}, // in earnest a FileStore
		Issuer:      apisec.HandIssuer{},
		Distributor: w, // in earnest a FileDistributor
		Verifier:    w, // in earnest a TokenVerifier
		Now:         func() time.Time { return w.now },
	}
	if _, err := r.Start(ctx, w.active); err != nil {
		fmt.Println(err)
		return
	}
	o, _ := r.Continue(ctx)
	fmt.Println(o.State.Step, o.State.Todo != "")

	next, _ := w.Create(ctx, "") // a person does that
	next.Label = ""
	r.Issuer = apisec.HandIssuer{Next: &next}
	o, _ = r.Continue(ctx)
	_, from := o.Next()
	fmt.Println(o.State.Step, "until", from.Format(time.DateTime))

	w.now = from
	o, _ = r.Continue(ctx)
	fmt.Println(o.State.Step, o.State.Todo)

	_ = w.Revoke(ctx, o.State.Old.Credential) // a person does that, too
	o, _ = r.Continue(ctx)
	fmt.Println(o.State.Step, o.State.Turns)
	// Output:
	// creating true
	// draining until 2026-03-16 12:00:00
	// revoking remove the secret of client 7B4CD3C2-F57E-4D52-A90A-23EED001CE81 (first) at the server
	// steady 1
}
