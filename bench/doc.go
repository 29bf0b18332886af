// Package bench compares connsec with its peers: the same question to the same server in the
// same run. Peers are whole programs, so connsec runs as a program, too.
//
//	go test -run '^$' -bench . ./bench
//
// A peer that is not installed is skipped. Times of single runs vary with the machine; ratios
// travel better.
package bench
