// Package connsec is the vocabulary in which connections are judged: rules, outcomes,
// findings, reports, waivers and secrets.
//
// A server product depends on connections it does not control: the HTTPS certificate that
// its clients see, its SQL Server, LDAP, SMTP and RADIUS servers, the secrets of its REST
// clients, the web sites it publishes. Each such connection has three sides – the setting
// that an administrator typed, the server at the other end, and the client that must refuse
// an impostor – and one vocabulary for all of them lives here. The sibling packages
// (tlscheck, ldapsec, sqlsec, …) do the looking; this package does no I/O, has no init and
// no registry, and imports only the standard library.
//
// # The way of a check
//
// A package observes facts without opinions. A [Check] pairs a [Rule] with a pure function
// that judges such facts. [Run] applies checks and returns one [Finding] for each, also for
// those that passed: a report says what was looked at. A [Report] turns into an error with
// [Report.Err]; the error unwraps to the rules that failed, so
//
//	errors.Is(err, tlscheck.RuleWildcard)
//
// asks whether one particular rule did.
//
// # What an outcome means
//
// Pass and Fail are statements of fact. What could not be determined – a timeout, a refused
// mechanism, a missing privilege – is [Inconclusive], never Pass and never Fail. A rule whose
// question does not arise, or whose prerequisite did not pass, is [NotApplicable]: one closed
// port gives one finding. Accepting a failure takes a [Waiver] with a reason and an end date;
// there is no boolean to switch a rule off.
//
// # What this package does not do
//
// It never logs, never exits, never reads the environment and holds no mutable globals.
package connsec
