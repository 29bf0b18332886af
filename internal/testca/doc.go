// Package testca is a certification authority for tests and demonstrations: a root, an
// intermediate and any number of leaves, sound by default and with every defect by option.
//
// A [Leaf] says what the certificate shall be like; its zero value, given a name, is a good
// TLS server certificate of today. Each defect – expired, no SAN, SHA-1, a 1024-bit key – is
// one field, so that a test differs from its counterpart in the one line that matters.
// Certificates are made on the spot and never stored in the repository: they would expire.
//
// The keys are as good as any, but the authority lives in memory and guards nothing. Do not
// trust its root anywhere outside the process that made it.
package testca
