package ntlm

import (
	"bytes"
	"crypto/rc4" // #nosec G503 -- the published vectors use key exchange
	"encoding/binary"
	"encoding/hex"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// The inputs and results of MS-NLMP 4.2.1 and 4.2.4.
const (
	specServerChallenge = "0123456789abcdef"
	specClientChallenge = "aaaaaaaaaaaaaaaa"
	specTargetInfo      = "02000c0044006f006d00610069006e0001000c0053006500720076006500720000000000"
)

func TestPublishedVectorsOfNTLMv2(t *testing.T) {
	assert.Equal(t, "a4f49c406510bdcab6824ee7c30fd852", hex.EncodeToString(Hash("Password")), "NTOWFv1, 4.2.2.1.2")

	key := mac(Hash("Password"), utf16le("USER"+"Domain"))
	assert.Equal(t, "0c868a403bfd7a93a3001ef22ef02e3f", hex.EncodeToString(key), "NTOWFv2, 4.2.4.1.1")

	// temp of 4.2.4.1.3: time zero, client challenge, the server's pairs.
	temp := append([]byte{1, 1, 0, 0, 0, 0, 0, 0}, make([]byte, 8)...)
	temp = append(temp, unhex(t, specClientChallenge)...)
	temp = append(temp, 0, 0, 0, 0)
	temp = append(temp, unhex(t, specTargetInfo)...)
	temp = append(temp, 0, 0, 0, 0)
	proof := mac(key, unhex(t, specServerChallenge), temp)
	assert.Equal(t, "68cd0ab851e51c96aabc927bebef6a1c", hex.EncodeToString(proof), "NTProofStr, 4.2.4.2.2")

	session := mac(key, proof)
	assert.Equal(t, "8de40ccadbc14a82f15cb0ad0de95ca3", hex.EncodeToString(session), "SessionBaseKey, 4.2.4.1.2")

	c, err := rc4.NewCipher(session)
	require.NoError(t, err)
	encrypted := bytes.Repeat([]byte{0x55}, 16)
	c.XORKeyStream(encrypted, encrypted)
	assert.Equal(t, "c5dad2544fc9799094ce1ce90bc9d03e", hex.EncodeToString(encrypted), "encrypted session key, 4.2.4.2.3")
}

// challenge builds a CHALLENGE message.
func challenge(flags uint32, info []byte) []byte {
	m := make([]byte, 56)
	copy(m, signature)
	binary.LittleEndian.PutUint32(m[8:], 2)
	binary.LittleEndian.PutUint32(m[20:], flags)
	copy(m[24:], []byte{1, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef})
	binary.LittleEndian.PutUint16(m[40:], uint16(len(info)))
	binary.LittleEndian.PutUint16(m[42:], uint16(len(info)))
	binary.LittleEndian.PutUint32(m[44:], 56)
	return append(m, info...)
}

// answer is an AUTHENTICATE message, read back.
type answer struct {
	lm, nt, domain, user []byte
	flags                uint32
	mic                  []byte
}

func readAnswer(t testing.TB, m []byte) answer {
	t.Helper()
	require.GreaterOrEqual(t, len(m), authFixed)
	require.Equal(t, signature, string(m[:8]))
	require.EqualValues(t, 3, binary.LittleEndian.Uint32(m[8:]))
	field := func(at int) []byte {
		n, off := int(binary.LittleEndian.Uint16(m[at:])), int(binary.LittleEndian.Uint32(m[at+4:]))
		require.LessOrEqual(t, off+n, len(m))
		return m[off : off+n]
	}
	return answer{field(12), field(20), field(28), field(36), binary.LittleEndian.Uint32(m[60:]), m[micOffset : micOffset+16]}
}

func pairsOf(t testing.TB, a answer) map[uint16][]byte {
	t.Helper()
	require.Greater(t, len(a.nt), 16+28)
	pairs, err := parsePairs(a.nt[16+28:])
	require.NoError(t, err)
	out := map[uint16][]byte{}
	for _, p := range pairs {
		require.NotContains(t, out, p.id, "a pair stands twice")
		out[p.id] = p.value
	}
	return out
}

func client() Client {
	return Client{
		User: "User", Domain: "Domain", Hash: Hash("Password"),
		Rand: bytes.NewReader(bytes.Repeat([]byte{0xaa}, 8)), Now: func() time.Time { return time.Unix(0, 0) },
	}
}

func TestTheAnswerProvesThePasswordAndIsSealedByItsMIC(t *testing.T) {
	c := client()
	c.Binding = BindingHash([]byte("tls-server-end-point:x"))
	c.Target = "ldap/dc1.corp.example"
	info := unhex(t, specTargetInfo)
	ch := challenge(clientFlags, info)
	m, err := c.Authenticate(Negotiate(), ch)
	require.NoError(t, err)
	a := readAnswer(t, m)

	assert.Equal(t, utf16le("User"), a.user)
	assert.Equal(t, utf16le("Domain"), a.domain)
	assert.Equal(t, make([]byte, 24), a.lm, "an LM response would help guessing")
	assert.Zero(t, a.flags&(FlagSign|FlagSeal|FlagKeyExchange), "Active Directory refuses signing inside TLS")

	// A server recomputes the proof from what it received …
	key := mac(Hash("Password"), utf16le("USERDomain"))
	proof := mac(key, unhex(t, specServerChallenge), a.nt[16:])
	assert.Equal(t, a.nt[:16], proof)
	// … and the MIC over the three messages, with the MIC field zero.
	zeroed := bytes.Clone(m)
	clear(zeroed[micOffset : micOffset+16])
	assert.Equal(t, a.mic, mac(mac(key, proof), Negotiate(), ch, zeroed))

	pairs := pairsOf(t, a)
	assert.Equal(t, c.Binding[:], pairs[avChannelBindings])
	assert.Equal(t, utf16le("ldap/dc1.corp.example"), pairs[avTargetName])
	assert.Equal(t, []byte{avFlagMIC, 0, 0, 0}, pairs[avFlags])
	assert.Equal(t, utf16le("Domain"), pairs[2], "the server's own pairs are kept")
	assert.Equal(t, fileTime(time.Unix(0, 0)), a.nt[16+8:16+16], "without a time from the server, the client's")
}

func TestTheServersTimeIsUsed(t *testing.T) {
	stamp := []byte{1, 2, 3, 4, 5, 6, 7, 8}
	m, err := client().Authenticate(Negotiate(), challenge(clientFlags, appendPairs(nil, []avPair{{avTimestamp, stamp}})))
	require.NoError(t, err)
	assert.Equal(t, stamp, readAnswer(t, m).nt[24:32])
}

func TestBindingsOfTheServerAreNotEchoed(t *testing.T) {
	info := appendPairs(nil, []avPair{{avChannelBindings, bytes.Repeat([]byte{9}, 16)}, {avTargetName, []byte("x")}, {avFlags, []byte{4, 0, 0, 0}}})
	m, err := client().Authenticate(Negotiate(), challenge(clientFlags, info))
	require.NoError(t, err)
	pairs := pairsOf(t, readAnswer(t, m))
	assert.NotContains(t, pairs, uint16(avChannelBindings))
	assert.NotContains(t, pairs, uint16(avTargetName))
	assert.Equal(t, []byte{4 | avFlagMIC, 0, 0, 0}, pairs[avFlags])
}

func TestANullSessionNamesNobody(t *testing.T) {
	m, err := Client{}.Authenticate(Negotiate(), challenge(clientFlags, nil))
	require.NoError(t, err)
	a := readAnswer(t, m)
	assert.Empty(t, a.user)
	assert.Empty(t, a.nt)
	assert.Equal(t, []byte{0}, a.lm)
	assert.NotZero(t, a.flags&FlagAnonymous)
}

func TestWeakOrBrokenChallengesAreRefused(t *testing.T) {
	good := challenge(clientFlags, unhex(t, specTargetInfo))
	for name, tc := range map[string]struct {
		challenge []byte
		says      string
	}{
		"empty":              {nil, "no challenge"},
		"short":              {good[:40], "no challenge"},
		"not NTLM":           {bytes.Repeat([]byte{'x'}, 64), "no challenge"},
		"another message":    {Negotiate(), "no challenge"},
		"type 3":             {append(append([]byte(signature), 3, 0, 0, 0), make([]byte, 50)...), "message type 3"},
		"no Unicode":         {challenge(clientFlags&^FlagUnicode, unhex(t, specTargetInfo)), "Unicode"},
		"NTLMv1 by flag":     {challenge(clientFlags&^FlagExtendedSessionSec, unhex(t, specTargetInfo)), "only NTLMv1"},
		"no target info":     {challenge(clientFlags&^FlagTargetInfo, nil), "only NTLMv1"},
		"info cut off":       {challenge(clientFlags, []byte{2, 0, 9, 0, 1}), "cut off"},
		"info without end":   {challenge(clientFlags, []byte{2, 0, 0, 0}), "does not end"},
		"info points beyond": {good[:len(good)-3], "points outside"},
		"too long":           {make([]byte, maxMessage+1), "no challenge"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client().Authenticate(Negotiate(), tc.challenge)
			assert.ErrorContains(t, err, tc.says)
		})
	}
	t.Run("no randomness", func(t *testing.T) {
		c := client()
		c.Rand = bytes.NewReader(nil)
		_, err := c.Authenticate(Negotiate(), good)
		assert.ErrorContains(t, err, "no randomness")
	})
}

func TestSPNEGO(t *testing.T) {
	token := []byte("NTLMSSP\x00abc")
	// RFC 4178 4.2.1 by hand: [APPLICATION 0] { SPNEGO, [0] { SEQ { [0] { SEQ { NTLMSSP } }, [2] { token } } } }
	want := unhex(t, "602b06062b0601050502a021301fa00e300c060a2b06010401823702020aa20d040b4e544c4d53535000616263")
	assert.Equal(t, want, WrapInit(token))

	got, err := Unwrap(WrapNext(token))
	require.NoError(t, err)
	assert.Equal(t, token, got)
	got, err = Unwrap(token)
	require.NoError(t, err, "a bare NTLM message")
	assert.Equal(t, token, got)

	for name, tc := range map[string]struct{ hex, says string }{
		"empty":           {"", "no SPNEGO token"},
		"junk":            {"ffff", "no SPNEGO token"},
		"rejected":        {"a1073005a0030a0102", "rejects NTLM"},
		"other mechanism": {"a10d300ba1090607" + "2b060105020505", "not offered"},
		"no token":        {"a1073005a0030a0101", "carries no token"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Unwrap(unhex(t, tc.hex))
			assert.ErrorContains(t, err, tc.says)
		})
	}
}

func FuzzAuthenticate(f *testing.F) {
	f.Add(challenge(clientFlags, unhex(f, specTargetInfo)))
	f.Add(challenge(clientFlags, appendPairs(nil, []avPair{{avTimestamp, make([]byte, 8)}, {avFlags, make([]byte, 3)}})))
	f.Fuzz(func(t *testing.T, ch []byte) {
		c := client()
		c.Binding = BindingHash([]byte("x"))
		m, err := c.Authenticate(Negotiate(), ch)
		if err != nil {
			return
		}
		// Whatever the server says, an answer carries the binding and the MIC flag, and no
		// signing: a challenge cannot talk the client out of them.
		a := readAnswer(t, m)
		pairs, err := parsePairs(a.nt[16+28:])
		require.NoError(t, err)
		var bound, flagged int
		for _, p := range pairs {
			if p.id == avChannelBindings && bytes.Equal(p.value, c.Binding[:]) {
				bound++
			}
			if p.id == avFlags && len(p.value) == 4 && p.value[0]&avFlagMIC != 0 {
				flagged++
			}
		}
		require.Equal(t, 1, bound)
		require.Equal(t, 1, flagged)
		require.Zero(t, a.flags&(FlagSign|FlagSeal|FlagKeyExchange|FlagAnonymous))
	})
}

func FuzzUnwrap(f *testing.F) {
	f.Add(WrapNext([]byte("NTLMSSP\x00")))
	f.Add(WrapInit([]byte("NTLMSSP\x00")))
	f.Fuzz(func(t *testing.T, data []byte) {
		token, err := Unwrap(data)
		if err == nil {
			require.True(t, bytes.Contains(data, token))
		}
	})
}

func BenchmarkAuthenticate(b *testing.B) {
	ch := challenge(clientFlags, unhex(b, specTargetInfo))
	neg := Negotiate()
	random := bytes.NewReader(make([]byte, 8))
	c := client()
	c.Rand = random
	b.ReportAllocs()
	for b.Loop() {
		random.Reset([]byte("01234567"))
		if _, err := c.Authenticate(neg, ch); err != nil {
			b.Fatal(err)
		}
	}
}

func TestTheServersSideReadsWhatTheClientSends(t *testing.T) {
	ch := NewChallenge([8]byte{1, 2, 3, 4, 5, 6, 7, 8})
	parsed, err := ParseChallenge(ch)
	require.NoError(t, err)
	assert.Equal(t, [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, parsed.Server)

	for name, tc := range map[string]struct {
		client Client
		want   Answer
	}{
		"bound":     {Client{User: "u", Hash: Hash("p"), Binding: [16]byte{7}}, Answer{Bound: true, Binding: [16]byte{7}, MIC: true}},
		"not bound": {Client{User: "u", Hash: Hash("p")}, Answer{MIC: true}},
		"nobody":    {Client{}, Answer{Anonymous: true}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.client.Rand, tc.client.Now = bytes.NewReader(make([]byte, 8)), time.Now
			m, err := tc.client.Authenticate(Negotiate(), ch)
			require.NoError(t, err)
			got, err := ParseAnswer(Find(WrapNext(m)))
			require.NoError(t, err)
			assert.Equal(t, tc.want, got)
		})
	}
	for _, bad := range [][]byte{nil, ch, make([]byte, 100)} {
		_, err := ParseAnswer(bad)
		assert.Error(t, err)
	}
	assert.Nil(t, Find([]byte("no token")))
}

func FuzzParseAnswer(f *testing.F) {
	c := client()
	m, err := c.Authenticate(Negotiate(), NewChallenge([8]byte{}))
	require.NoError(f, err)
	f.Add(m)
	f.Fuzz(func(t *testing.T, m []byte) {
		a, err := ParseAnswer(m)
		require.False(t, err == nil && a.Bound && a.Binding == [16]byte{})
	})
}
