//go:build unix

package apisec

import "syscall"

// withoutWaiting makes opening a pipe, a modem or a tape return at once, and keeps a terminal from
// becoming that of this process (open(2)). It means nothing for files on disk.
const withoutWaiting = syscall.O_NONBLOCK | syscall.O_NOCTTY
