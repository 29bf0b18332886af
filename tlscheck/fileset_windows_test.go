package tlscheck

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/windows"
)

// Access control lists in the Security Descriptor Definition Language (MS-DTYP §2.5.1).
func TestExposureInAccessLists(t *testing.T) {
	for _, c := range []struct {
		name, sddl string
		want       []string
	}{
		{"administrators and the system", "D:P(A;;FA;;;BA)(A;;FA;;;SY)", nil},
		{"a service's account", "D:P(A;;FA;;;BA)(A;;FR;;;LS)", nil},
		{"everyone may read", "D:(A;;FA;;;BA)(A;;FR;;;WD)", []string{"Everyone"}},
		{"users may read, as below ProgramData", "D:AI(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;BU)", []string{"Users"}},
		{"two groups", "D:(A;;FR;;;AU)(A;;GR;;;BG)", []string{"Authenticated Users", "Guests"}},
		{"the domain's users", "D:(A;;FR;;;S-1-5-21-1-2-3-513)", []string{"Domain Users"}},
		{"another group of the domain", "D:(A;;FR;;;S-1-5-21-1-2-3-1513)", nil},
		{"may change who may read", "D:(A;;WD;;;BU)", []string{"Users"}},
		{"may list attributes only", "D:(A;;0x80;;;BU)", nil},
		{"denied before it is allowed", "D:(D;;FR;;;WD)(A;;FR;;;WD)", nil},
		{"denied after it is allowed", "D:(A;;FR;;;WD)(D;;FR;;;WD)", []string{"Everyone"}},
		{"denied to others", "D:(D;;FR;;;BG)(A;;FR;;;WD)", []string{"Everyone"}},
		{"for what is created inside only", "D:(A;OICIIO;FR;;;WD)(A;;FA;;;BA)", nil},
		{"an empty list lets nobody in", "D:P", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			sd, err := windows.SecurityDescriptorFromString(c.sddl)
			require.NoError(t, err)
			e := exposureIn(sd)
			assert.True(t, e.Known)
			assert.Equal(t, c.want, e.To)
			assert.Equal(t, len(c.want) > 0, e.Wide)
		})
	}
	none, err := windows.NewSecurityDescriptor()
	require.NoError(t, err)
	require.NoError(t, none.SetDACL(nil, true, false))
	assert.Equal(t, []string{"Everyone (there is no access control list)"}, exposureIn(none).To)
}

func TestExposureOfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server.key")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	sd, err := windows.SecurityDescriptorFromString("D:P(A;;FA;;;BA)(A;;FR;;;WD)")
	require.NoError(t, err)
	dacl, _, err := sd.DACL()
	require.NoError(t, err)
	require.NoError(t, windows.SetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, dacl, nil))
	assert.Equal(t, []string{"Everyone"}, ExposureOf(path).To)
	assert.False(t, ExposureOf(path+".none").Known)
}
