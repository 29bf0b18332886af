//go:build !unix

package apisec

// withoutWaiting is nothing where pipes have no names among files.
const withoutWaiting = 0
