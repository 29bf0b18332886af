// Package disk is what replacing a file safely takes beyond package os, on each system: a new file
// written beside the old one, with its owner, on the disk before it takes the name; its directory
// flushed; and one process at a time.
package disk
