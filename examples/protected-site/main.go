// Command protected-site serves a small personalized site on loopback, over HTTPS and behind
// [securl.Gate]: each of three recipients opens the address that came with the mail, signs in,
// and sees pages of their own for one hour.
//
//	go run ./examples/protected-site
//
// prints the addresses and passwords. Pressing Enter lets an hour pass.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
