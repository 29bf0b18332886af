//go:build !windows

package tlscheck

import (
	"io/fs"
	"os"
)

// exposureOf reads the permission bits. ACLs beyond them are not seen; where there is one,
// the group bits are its mask, so anything it grants shows as a group bit (POSIX.1e).
func exposureOf(path string) Exposure {
	info, err := os.Stat(path)
	if err != nil || info.IsDir() {
		return Exposure{}
	}
	return exposureOfMode(info.Mode())
}

func exposureOfMode(mode fs.FileMode) Exposure {
	e := Exposure{Known: true, Mode: mode.Perm().String()}
	for _, class := range []struct {
		bits fs.FileMode
		who  string
		wide bool
	}{{0o007, "everybody on this machine", true}, {0o070, "the file's group", false}} {
		if mode&class.bits != 0 {
			e.To = append(e.To, class.who)
			e.Wide = e.Wide || class.wide
		}
	}
	return e
}
