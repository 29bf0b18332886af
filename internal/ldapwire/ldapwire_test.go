package ldapwire

import (
	"bytes"
	"encoding/hex"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	require.NoError(t, err)
	return b
}

func TestReadTakesOneMessageAndNotAByteMore(t *testing.T) {
	first, second := Answer(1, OpBindResponse, Result{Code: 8, Diagnostic: "no"}), Extended(2, OIDStartTLS)
	r := bytes.NewReader(append(bytes.Clone(first), second...))
	m, err := Read(iotest.OneByteReader(r), MaxMessage)
	require.NoError(t, err)
	assert.EqualValues(t, 1, m.ID)
	assert.Equal(t, len(second), r.Len())
	m, err = Read(r, MaxMessage)
	require.NoError(t, err)
	oid, err := m.ExtendedOID()
	require.NoError(t, err)
	assert.Equal(t, OIDStartTLS, oid)
	_, err = Read(r, MaxMessage)
	assert.ErrorIs(t, err, io.EOF)
}

func TestActiveDirectorysLongLengthsAreRead(t *testing.T) {
	// A bind response as Active Directory encodes it: every length in five octets.
	m, err := Read(bytes.NewReader(unhex(t, "30 84 00000010 02 01 01 61 84 00000007 0a 01 00 04 00 04 00")), MaxMessage)
	require.NoError(t, err)
	r, err := m.Result()
	require.NoError(t, err)
	assert.Zero(t, r.Code)
}

func TestBadInput(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		want error
		says string
	}{
		"indefinite length":           {"3080 020101 0000", ErrMalformed, "indefinite length"},
		"indefinite within":           {"3005 0201 01 6180", ErrMalformed, "indefinite length"},
		"4 GB":                        {"3084ffffffff", ErrTooLong, "4294967295 bytes announced"},
		"16 EB":                       {"3088ffffffffffffffff", ErrTooLong, "a length of 8 octets"},
		"a byte too long":             {"3083010001", ErrTooLong, "65537 bytes announced, 65536 accepted"},
		"banner":                      {hex.EncodeToString([]byte("220 mail ESMTP")), ErrNotLDAP, `it begins with "22"`},
		"binary banner":               {"ff00ff", ErrNotLDAP, "it begins with 0xff00"},
		"TLS alert":                   {"150301000202", ErrNotLDAP, "implicit TLS"},
		"cut in length":               {"308400", ErrMalformed, "the peer closed within it"},
		"cut in body":                 {"3010 0201", ErrMalformed, "the peer closed within it"},
		"one byte":                    {"30", ErrMalformed, "closed after one byte"},
		"empty message":               {"3000", ErrMalformed, "ends within an element"},
		"message ID of nine bytes":    {"300b 0209 000000000000000001", ErrMalformed, "integer of 9 bytes"},
		"negative message ID":         {"3007 0201ff 4200", ErrMalformed, ""},
		"message ID is no integer":    {"3005 040101 4200", ErrMalformed, "tag 0x04 where 0x02"},
		"operation of the wrong kind": {"3005 020101 0400", ErrMalformed, "operation has tag 0x04"},
		"long tag":                    {"3006 020101 7f0100", ErrMalformed, "more than one octet"},
		"inner element too long":      {"3005 020101 6105", ErrMalformed, "an element of 5 bytes in 0"},
		"broken controls":             {"3007 020101 4200 a005", ErrMalformed, "an element of 5 bytes in 0"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read(bytes.NewReader(unhex(t, tc.in)), MaxMessage)
			require.ErrorIs(t, err, tc.want)
			assert.ErrorContains(t, err, tc.says)
			assert.NotContains(t, err.Error(), "\n")
		})
	}
	t.Run("bytes after the message", func(t *testing.T) {
		_, err := Parse(append(Unbind(1), 0))
		assert.ErrorContains(t, err, "1 bytes after the message")
	})
}

// huge yields an endless message and counts what was taken of it.
type huge struct{ n int }

func (h *huge) Read(p []byte) (int, error) {
	copy(p, []byte{TagSequence, 0x84, 0x7f, 0xff, 0xff, 0xff})
	h.n += len(p)
	return len(p), nil
}

func TestAnAnnouncedGigabyteIsNotRead(t *testing.T) {
	h := &huge{}
	_, err := Read(io.MultiReader(bytes.NewReader(unhex(t, "30847fffffff")), h), MaxMessage)
	require.ErrorIs(t, err, ErrTooLong)
	assert.Zero(t, h.n)
}

func TestResults(t *testing.T) {
	in := Result{Code: ResultReferral, MatchedDN: "dc=x", Diagnostic: "elsewhere", Referrals: []string{"ldap://a", "ldap://b"}, Creds: []byte{1, 2}, Name: OIDStartTLS}
	m, err := Parse(Answer(7, OpExtendedResponse, in))
	require.NoError(t, err)
	out, err := m.Result()
	require.NoError(t, err)
	assert.Equal(t, in, out)
	assert.Equal(t, []byte{1, 2}, out.Challenge())
	assert.Equal(t, []byte("NTLMSSP"), Result{MatchedDN: "NTLMSSP"}.Challenge(), "Sicily")

	for name, body := range map[string]string{
		"no code": "", "code of the wrong tag": "020100 0400 0400", "negative code": "0a01ff 0400 0400",
		"no diagnostic": "0a0100 0400", "broken referral": "0a0100 0400 0400 a3020201",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Message{Op: OpBindResponse, Body: unhex(t, body)}.Result()
			assert.ErrorIs(t, err, ErrMalformed)
		})
	}
	_, err = Message{Op: OpSearchEntry}.Result()
	assert.ErrorIs(t, err, ErrMalformed)
}

// TestAgainstAnIndependentCodec decodes what is written here with asn1-ber, and reads here
// what go-ldap writes.
func TestAgainstAnIndependentCodec(t *testing.T) {
	t.Run("search", func(t *testing.T) {
		p, err := ber.DecodePacketErr(Search(5, "dc=corp,dc=example", ScopeSub, 1, 10, "a", "b"))
		require.NoError(t, err)
		require.Len(t, p.Children, 2)
		assert.EqualValues(t, 5, p.Children[0].Value)
		op := p.Children[1]
		require.Len(t, op.Children, 8)
		assert.Equal(t, "dc=corp,dc=example", op.Children[0].Value)
		assert.EqualValues(t, ScopeSub, op.Children[1].Value)
		assert.EqualValues(t, 1, op.Children[3].Value)
		assert.EqualValues(t, 10, op.Children[4].Value)
		filter, err := ldap.DecompileFilter(op.Children[6])
		require.NoError(t, err)
		assert.Equal(t, "(objectClass=*)", filter)
		assert.Len(t, op.Children[7].Children, 2)
	})
	t.Run("simple bind", func(t *testing.T) {
		p, err := ber.DecodePacketErr(Bind(1, "cn=a", AuthSimple, []byte("pw")))
		require.NoError(t, err)
		op := p.Children[1]
		assert.EqualValues(t, 3, op.Children[0].Value)
		assert.Equal(t, "cn=a", op.Children[1].Value)
		assert.Equal(t, "pw", op.Children[2].Data.String())
	})
	t.Run("entry", func(t *testing.T) {
		p, err := ber.DecodePacketErr(Entry(1, "cn=a", []Attribute{{"x", []string{"1", "2"}}}))
		require.NoError(t, err)
		attr := p.Children[1].Children[1].Children[0]
		assert.Equal(t, "x", attr.Children[0].Value)
		assert.Len(t, attr.Children[1].Children, 2)
	})
	t.Run("answer", func(t *testing.T) {
		p, err := ber.DecodePacketErr(Answer(1, OpBindResponse, Result{Code: 49, Diagnostic: "80090346"}))
		require.NoError(t, err)
		assert.True(t, ldap.IsErrorWithCode(ldap.GetLDAPError(p), ldap.LDAPResultInvalidCredentials))
	})
}

func TestRequests(t *testing.T) {
	m, err := Parse(BindSASL(3, "EXTERNAL", []byte{}))
	require.NoError(t, err)
	b, err := m.BindRequest()
	require.NoError(t, err)
	assert.Equal(t, BindRequest{Version: 3, Auth: AuthSASL, Mechanism: "EXTERNAL", Creds: []byte{}}, b)

	m, err = Parse(BindSASL(3, "EXTERNAL", nil))
	require.NoError(t, err)
	b, err = m.BindRequest()
	require.NoError(t, err)
	assert.Nil(t, b.Creds)

	m, err = Parse(Bind(3, "cn=a", AuthSimple, []byte("pw")))
	require.NoError(t, err)
	b, err = m.BindRequest()
	require.NoError(t, err)
	assert.Equal(t, BindRequest{Version: 3, Name: "cn=a", Auth: AuthSimple, Creds: []byte("pw")}, b)

	m, err = Parse(Search(3, "", ScopeBase, 0, 0))
	require.NoError(t, err)
	s, err := m.SearchRequest()
	require.NoError(t, err)
	assert.Equal(t, SearchRequest{"", ScopeBase}, s)

	for _, bad := range []Message{{Op: OpBindRequest}, {Op: OpSearchRequest}, {Op: OpExtendedRequest}, {Op: OpUnbindRequest}} {
		_, err = bad.BindRequest()
		assert.ErrorIs(t, err, ErrMalformed)
		_, err = bad.SearchRequest()
		assert.ErrorIs(t, err, ErrMalformed)
		_, err = bad.ExtendedOID()
		assert.ErrorIs(t, err, ErrMalformed)
		_, _, err = bad.Entry()
		assert.ErrorIs(t, err, ErrMalformed)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(Answer(1, OpBindResponse, Result{Code: 49, Diagnostic: "80090346: LdapErr", Referrals: []string{"ldap://x"}, Creds: []byte("NTLMSSP")}))
	f.Add(Entry(2, "", []Attribute{{"vendorName", []string{"x", "y"}}}))
	f.Add(Search(3, "dc=x", ScopeSub, 1, 1, "a"))
	f.Add(BindSASL(4, "GSS-SPNEGO", []byte("x")))
	f.Add([]byte{0x30, 0x84, 0, 0, 0, 5, 2, 1, 1, 0x42, 0})
	f.Add([]byte{0x30, 0x80, 2, 1, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		const limit = 512
		r := bytes.NewReader(data)
		m, err := Read(r, limit)
		taken := len(data) - r.Len()
		require.LessOrEqual(t, taken, limit+6)
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			return
		}
		// Reading from a stream and parsing a buffer agree.
		again, err := Parse(data[:taken])
		require.NoError(t, err)
		require.Equal(t, m, again)
		// What decodes as a result is written and read back as the same result.
		if res, err := m.Result(); err == nil {
			back, err := Parse(Answer(m.ID, m.Op, res))
			require.NoError(t, err)
			res2, err := back.Result()
			require.NoError(t, err)
			if len(res.Creds) == 0 {
				res.Creds, res2.Creds = nil, nil
			}
			require.Equal(t, res, res2)
		}
		if dn, attrs, err := m.Entry(); err == nil {
			back, err := Parse(Entry(m.ID, dn, attrs))
			require.NoError(t, err)
			dn2, attrs2, err := back.Entry()
			require.NoError(t, err)
			require.Equal(t, dn, dn2)
			require.Equal(t, attrs, attrs2)
		}
		_, _ = m.BindRequest()
		_, _ = m.SearchRequest()
		_, _ = m.ExtendedOID()
	})
}

func BenchmarkRead(b *testing.B) {
	data := Answer(1, OpBindResponse, Result{Code: 49, Diagnostic: "80090346: LdapErr: DSID-0C090711, comment: AcceptSecurityContext error, data 35b, v1db1"})
	r := bytes.NewReader(data)
	b.ReportAllocs()
	for b.Loop() {
		r.Reset(data)
		m, err := Read(r, MaxMessage)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := m.Result(); err != nil {
			b.Fatal(err)
		}
	}
}
