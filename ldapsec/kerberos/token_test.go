package kerberos

import (
	"testing"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func key(t testing.TB) types.EncryptionKey {
	t.Helper()
	kind, err := crypto.GetEtype(etypeID.AES256_CTS_HMAC_SHA1_96)
	require.NoError(t, err)
	return types.EncryptionKey{KeyType: kind.GetETypeID(), KeyValue: make([]byte, kind.GetKeyByteSize())}
}

// offer is what a server says about security layers.
func offer(t testing.TB, k types.EncryptionKey, flags byte, payload []byte) []byte {
	t.Helper()
	w := gssapi.WrapToken{Flags: flags, EC: 12, SndSeqNum: 7, Payload: payload}
	require.NoError(t, w.SetCheckSum(k, keyusage.GSSAPI_ACCEPTOR_SEAL))
	b, err := w.Marshal()
	require.NoError(t, err)
	return b
}

func TestTheOfferOfLayers(t *testing.T) {
	c := &Client{key: key(t)}
	good := offer(t, c.key, sentByAcceptor, []byte{7, 0, 0, 0})
	answer, err := c.chooseLayer(good)
	require.NoError(t, err)
	assert.Equal(t, []byte{layerNone, 0, 0, 0}, answer[gssapi.HdrLen:gssapi.HdrLen+4])

	// The same, rotated right by five octets as RFC 4121, 4.2.5 allows.
	rotated := append([]byte{}, good[:gssapi.HdrLen]...)
	rotated[7] = 5
	body := good[gssapi.HdrLen:]
	rotated = append(append(rotated, body[len(body)-5:]...), body[:len(body)-5]...)
	_, err = c.chooseLayer(rotated)
	require.NoError(t, err)

	other := key(t)
	other.KeyValue[0] = 1
	for name, tc := range map[string]struct {
		token []byte
		says  string
	}{
		"empty":              {nil, "no wrap token"},
		"insists on a layer": {offer(t, c.key, sentByAcceptor, []byte{6, 0, 0, 0}), "insists on a security layer"},
		"too short":          {offer(t, c.key, sentByAcceptor, []byte{1, 0, 0}), "has 3 octets"},
		"from the client":    {offer(t, c.key, 0, []byte{7, 0, 0, 0}), "not from the server"},
		"sealed":             {offer(t, c.key, sentByAcceptor|sealed, []byte{7, 0, 0, 0}), "sealed"},
		"another key":        {offer(t, other, sentByAcceptor, []byte{7, 0, 0, 0}), "not the server's"},
		"no such subkey":     {offer(t, c.key, sentByAcceptor|acceptorSubkey, []byte{7, 0, 0, 0}), "not the server's"},
		"cut off":            {good[:gssapi.HdrLen+3], "cut off"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.chooseLayer(tc.token)
			assert.ErrorContains(t, err, tc.says)
		})
	}
}

func TestTheServersProof(t *testing.T) {
	c := &Client{key: key(t)}
	for name, tc := range map[string]struct {
		token []byte
		says  string
	}{
		"empty":           {nil, "no Kerberos token"},
		"another request": {wrapToken(tokenRequest, nil), "0x0100"},
		"broken":          {wrapToken(tokenReply, []byte("x")), "cannot be read"},
		"broken error":    {wrapToken(tokenError, []byte("x")), "refuses the ticket"},
	} {
		t.Run(name, func(t *testing.T) { assert.ErrorContains(t, c.verifyServer(tc.token), tc.says) })
	}
}

func FuzzNext(f *testing.F) {
	f.Add(wrapToken(tokenReply, []byte{0x6f, 3, 0x30, 1, 0}), uint8(0))
	f.Add(wrapToken(tokenError, []byte{0x7e, 3, 0x30, 1, 0}), uint8(0))
	f.Add(offer(f, key(f), sentByAcceptor, []byte{6, 0, 0, 0}), uint8(1))
	k := key(f)
	k.KeyValue[3] = 9
	f.Fuzz(func(t *testing.T, token []byte, step uint8) {
		// Without the ticket's key nobody can forge a token, so none is ever accepted.
		c := &Client{key: k, step: int(step % 3)}
		if _, _, err := c.Next(token); err == nil {
			t.Fatalf("accepted %x", token)
		}
	})
}
