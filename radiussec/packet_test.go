package radiussec

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
)

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// TestPublishedExchange is the first example of RFC 2865, 7.1: user nemo, password arctangent,
// secret xyzzy5461.
func TestPublishedExchange(t *testing.T) {
	secret := []byte("xyzzy5461")
	request := unhex(t, "010000380f403f9473978057bd83d5cb98f4227a01066e656d6f02120dbe708d93d413ce3196e43f782a0aee0406c0a80110050600000003")
	answer := unhex(t, "0200002686fe220e7624ba2a1005f6bf9b55e0b20606000000010f06000000000e06c0a80103")
	r, err := parseReply(answer, secret)
	require.NoError(t, err)
	require.NoError(t, r.believe(request, secret))
	assert.Zero(t, r.ma)
	for i := range answer { // not a bit of it may change
		forged := bytes.Clone(answer)
		forged[i] ^= 1
		if r, err := parseReply(forged, secret); err == nil {
			assert.Error(t, r.believe(request, secret), i)
		}
	}
	assert.ErrorIs(t, r.believe(request, []byte("xyzzy5462")), ErrResponseAuthenticator)

	// The password comes out of the published request and goes into one of our own.
	p, err := radius.Parse(request, secret)
	require.NoError(t, err)
	wire, err := encode11(p, 7, secret)
	require.NoError(t, err)
	assert.True(t, bytes.Contains(wire, append([]byte{2, 12}, "arctangent"...)))
	assert.Equal(t, []byte{1, 0, 0, byte(len(wire)), 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, wire[:20])
}

// TestStatusServerVector is the first example of RFC 5997, 6.1, whose Message-Authenticator is
// published, and 6.2 for its answer.
func TestStatusServerVector(t *testing.T) {
	secret := []byte("xyzzy5461")
	published := unhex(t, "0cda00268a54f4686fb394c52866e302185d062350125a665e2e1e8411f3e243822097c84fa3")
	p := &radius.Packet{Code: radius.CodeStatusServer, Identifier: 0xda}
	copy(p.Authenticator[:], published[4:20])
	wire, err := encodeRequest(p, secret, true)
	require.NoError(t, err)
	assert.Equal(t, published, wire)

	answer := unhex(t, "02da0014ef0d552a4bf2d693ec2b6fe8b5411d66")
	r, err := parseReply(answer, secret)
	require.NoError(t, err)
	assert.NoError(t, r.believe(wire, secret))
}

func TestParseReply(t *testing.T) {
	head := func(n int, body ...byte) []byte {
		return append(append([]byte{2, 0, 0, byte(n)}, make([]byte, 16)...), body...)
	}
	ma := append([]byte{80, 18}, make([]byte, 16)...)
	for name, b := range map[string][]byte{
		"empty": nil, "short": head(20)[:19], "length below the header": head(19), "longer than it came": head(21),
		"attribute without length": head(21, 1), "length 1": head(22, 1, 1), "length 0": head(22, 1, 0), "beyond the end": head(22, 1, 3),
		"two signatures": head(56, slices.Concat(ma, ma)...), "short signature": head(23, 80, 3, 0),
		"giant": append([]byte{2, 0, 0x10, 1}, make([]byte, 4093)...),
	} {
		_, err := parseReply(b, nil)
		assert.ErrorIs(t, err, ErrMalformed, name)
	}
	r, err := parseReply(head(20, 1, 2, 3), nil) // padding
	require.NoError(t, err)
	assert.Len(t, r.wire, 20)
}

// FuzzReply: whatever is believed was made with the secret, and nothing that a bit was changed
// of is believed.
func FuzzReply(f *testing.F) {
	f.Add([]byte("\x02\x00\x00\x26"), []byte("\x50\x12"), 3)
	f.Add([]byte("\x02\x05\x00\x14"), []byte{}, 0)
	f.Fuzz(func(t *testing.T, head, body []byte, flip int) {
		secret := []byte("xyzzy5461")
		request := append([]byte{1, 5, 0, 20}, make([]byte, 16)...)
		b := append(append(slices.Grow([]byte{}, 20), head...), make([]byte, max(0, 20-len(head)))...)[:20]
		b = append(b, body...)
		r, err := parseReply(b, secret)
		if err != nil {
			return
		}
		if r.believe(request, secret) == nil {
			t.Fatal("believed without the secret") // a hash of zeros cannot come up
		}
		h := md5.New()
		for _, part := range [][]byte{r.wire[:4], request[4:], r.wire[20:], secret} {
			h.Write(part)
		}
		copy(r.wire[4:], h.Sum(nil))
		if err := r.believe(request, secret); err != nil {
			return // another identifier, a wrong signature, a Proxy-State
		}
		if r.ma != 0 {
			t.Fatal("a signature of zeros is believed")
		}
		i := uint(flip) % uint(len(r.wire)*8)
		changed := bytes.Clone(r.wire)
		changed[i/8] ^= 1 << (i % 8)
		if again, err := parseReply(changed, secret); err == nil && len(again.wire) == len(r.wire) && again.believe(request, secret) == nil {
			t.Fatalf("bit %d does not matter", i)
		}
	})
}

func TestRetransmissionTimes(t *testing.T) {
	timing := Timing{}.withDefaults()
	wait, nominal := time.Duration(0), timing.Initial
	for range 10 {
		wait = timing.next(wait)
		assert.InEpsilon(t, float64(min(nominal, timing.Most)), float64(wait), 0.35)
		nominal *= 2
	}
}

func TestEachServerGetsItsOwnHiding(t *testing.T) {
	p := radius.New(radius.CodeAccessRequest, []byte("one"))
	require.NoError(t, rfc2865.UserPassword_SetString(p, "correct horse battery"))
	q, err := Config{}.forServer(p, []byte("two"))
	require.NoError(t, err)
	assert.Equal(t, "correct horse battery", rfc2865.UserPassword_GetString(q))
	assert.NotEqual(t, p.Authenticator, q.Authenticator)
	assert.NotEqual(t, p.Get(rfc2865.UserPassword_Type), q.Get(rfc2865.UserPassword_Type))

	p = radius.New(radius.CodeAccessRequest, []byte("one"))
	p.Add(rfc2865.CHAPPassword_Type, make([]byte, 17))
	q, err = Config{}.forServer(p, []byte("two"))
	require.NoError(t, err)
	assert.Equal(t, p.Authenticator, q.Authenticator, "it is the challenge")
	_, err = encode11(p, 1, nil)
	assert.ErrorContains(t, err, "CHAP-Challenge")
}

func BenchmarkSignAndBelieve(b *testing.B) {
	secret := []byte("kq7dz4mw-b3xv6hnp-tjr5cy2s-gf4ae7ul")
	p, err := accessRequest(Config{}, secret, "alice", "password")
	if err != nil {
		b.Fatal(err)
	}
	wire, _ := encodeRequest(p, secret, true)
	answer, _ := (&radius.Packet{Code: radius.CodeAccessReject, Identifier: p.Identifier, Authenticator: p.Authenticator, Secret: secret}).Encode()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encodeRequest(p, secret, true); err != nil {
			b.Fatal(err)
		}
		r, err := parseReply(answer, secret)
		if err != nil || r.believe(wire, secret) != nil {
			b.Fatal(err)
		}
	}
}
