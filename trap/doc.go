// Package trap provides fake servers with a chosen posture, honest or hostile, that record
// what a client did: did it accept the certificate of an impostor, did it send a password to
// a server that stripped the encryption? A test starts the trap that its client must not
// fall into:
//
//	s, err := trap.NewHTTPS(trap.HTTPSWrongName)
//	…
//	defer s.Close()
//	_, err = client.Get(s.URL()) // has to fail
//	err = s.Await(ctx, 1)        // until one connection has ended
//	for _, c := range s.Observed() { … c.Authorization … }
//
// The same client against the zero posture, honest, has to succeed: a client that refuses
// everything proves nothing. [Server.Roots] is the trust that makes the honest trap good, and
// gives no reason to trust a hostile one.
//
// # What is recorded
//
// Facts, never content: that a Cookie header came, not its value. Whether a client trusted
// the server has three answers, see [Trust]; a client that went away without a word leaves the
// question open.
//
// # What a trap is not
//
// Traps listen on 127.0.0.1 unless told otherwise, bound what they read and how long a
// connection lasts, and leave no goroutine behind after Close. They do not defend themselves
// beyond that: do not leave one on a network. Certificates come from an authority in memory
// that is made with the trap and forgotten with it.
package trap
