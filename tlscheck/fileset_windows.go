package tlscheck

import (
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"
)

// Groups that stand for more people than those who run the server, by SID.
var wideSIDs = []struct{ sid, name string }{
	{"S-1-1-0", "Everyone"},
	{"S-1-5-11", "Authenticated Users"},
	{"S-1-5-32-545", "Users"},
	{"S-1-5-32-546", "Guests"},
	{"S-1-5-7", "Anonymous"},
	{"S-1-5-4", "Interactive"},
	{"S-1-5-2", "Network"},
	{"S-1-15-2-1", "all app packages"},
}

// domainUsersRID ends the SIDs of each domain's groups Domain Users and Domain Guests.
var domainWideRIDs = []struct{ rid, name string }{{"-513", "Domain Users"}, {"-514", "Domain Guests"}}

// readRights let the holder read the file, or give himself the right to.
const readRights = windows.FILE_READ_DATA | windows.GENERIC_READ | windows.GENERIC_ALL | windows.WRITE_DAC | windows.WRITE_OWNER

// exposureOf reads the access control list and looks for the groups that contain everybody.
// Other groups are not resolved, so that Known with an empty To means: no such group, not:
// nobody else.
func exposureOf(path string) Exposure {
	sd, err := windows.GetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		return Exposure{}
	}
	return exposureIn(sd)
}

// exposureIn reads the access control list of a security descriptor.
func exposureIn(sd *windows.SECURITY_DESCRIPTOR) Exposure {
	dacl, _, err := sd.DACL()
	if err != nil {
		return Exposure{}
	}
	e := Exposure{Known: true, Mode: sd.String()}
	if dacl == nil { // no list at all: everything is allowed to everybody
		e.To, e.Wide = []string{"Everyone (there is no access control list)"}, true
		return e
	}
	denied := map[string]windows.ACCESS_MASK{}
	for i := range uint32(dacl.AceCount) {
		var ace *windows.ACCESS_ALLOWED_ACE
		if err := windows.GetAce(dacl, i, &ace); err != nil {
			return Exposure{}
		}
		if ace.Header.AceFlags&windows.INHERIT_ONLY_ACE != 0 {
			continue
		}
		sid := (*windows.SID)(unsafe.Pointer(&ace.SidStart)).String()
		switch ace.Header.AceType {
		case windows.ACCESS_DENIED_ACE_TYPE:
			denied[sid] |= ace.Mask
		case windows.ACCESS_ALLOWED_ACE_TYPE:
			// The first entry that decides a right wins, so a denial counts only from here on.
			if name := wideName(sid); name != "" && ace.Mask&^denied[sid]&readRights != 0 {
				e.To, e.Wide = append(e.To, name), true
			}
		default: // conditional and object entries need a token to evaluate
			if wideName(sid) != "" {
				return Exposure{}
			}
		}
	}
	return e
}

func wideName(sid string) string {
	for _, w := range wideSIDs {
		if w.sid == sid {
			return w.name
		}
	}
	for _, w := range domainWideRIDs {
		if strings.HasPrefix(sid, "S-1-5-21-") && strings.HasSuffix(sid, w.rid) {
			return w.name
		}
	}
	return ""
}
