// Package disk is what replacing a file safely takes beyond package os, on each system: its
// owner kept, its directory flushed, and one process at a time.
package disk
