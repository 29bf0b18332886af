package trap_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/testca"
	"github.com/connsec/connsec/trap"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
)

const radiusSecret = "kq7dz4mw-b3xv6hnp-tjr5cy2s-gf4ae7ul"

func startRADIUS(t testing.TB, p trap.RADIUSPosture) *trap.RADIUS {
	t.Helper()
	s, err := trap.NewRADIUS(p, connsec.NewSecret(radiusSecret))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

// TestRadclientInTraps is what FreeRADIUS's client 3.2.1 makes of each posture: the table in
// docs/traps.md.
func TestRadclientInTraps(t *testing.T) {
	radclient := realsrv.Need(t, "radclient")
	believes := []trap.RADIUSPosture{
		trap.RADIUSHonest, trap.RADIUSLimiting, trap.RADIUSOpen, trap.RADIUSExplaining, trap.RADIUSLate, trap.RADIUSUnsigned,
		trap.RADIUSProxyState,
	}
	type inTrap struct {
		s   *trap.RADIUS
		out string
		err error
	}
	came := atOnce(trap.RADIUSPostures(), func(p trap.RADIUSPosture) inTrap {
		s := startRADIUS(t, p)
		wait := "0.3" // seconds, for nothing
		if slices.Contains(believes, p) {
			wait = "20"
		}
		out, err := realsrv.Run(t, realsrv.Cmd{
			Path: "/bin/sh",
			Args: []string{"-c", `printf '%s\n' "$1" | "$2" -x -r 1 -t "$3" "$4" auth "$5"`, "sh",
				"User-Name=trap\nUser-Password=trap\nMessage-Authenticator=0x00", radclient, wait, s.Addr(), radiusSecret},
		})
		return inTrap{s, out, err}
	})
	for _, p := range trap.RADIUSPostures() {
		t.Run(p.String(), func(t *testing.T) {
			seen, out, err := came[p].s.Observed(), came[p].out, came[p].err
			assert.Equal(t, slices.Contains(believes, p), err == nil, out)
			require.Len(t, seen, 1)
			assert.True(t, seen[0].MessageAuthenticator && seen[0].Verified && seen[0].Password)
			assert.False(t, seen[0].ProxyState)
			if err == nil {
				assert.Equal(t, 1, seen[0].Sent)
				assert.NotEqual(t, trap.Refused, seen[0].Trust)
			}
		})
	}
}

// TestLayehInTraps is what layeh.com/radius makes of each posture with its own Exchange.
func TestLayehInTraps(t *testing.T) {
	believes := []trap.RADIUSPosture{
		trap.RADIUSLimiting, trap.RADIUSOpen, trap.RADIUSUnsigned,
		trap.RADIUSForgedSignature, trap.RADIUSProxyState, trap.RADIUSExplaining, trap.RADIUSWrongIdentifier,
	}
	type inTrap struct {
		s   *trap.RADIUS
		err error
	}
	came := atOnce(trap.RADIUSPostures(), func(p trap.RADIUSPosture) inTrap {
		s := startRADIUS(t, p)
		request := radius.New(radius.CodeAccessRequest, []byte(radiusSecret))
		err := errors.Join(rfc2865.UserName_SetString(request, "trap"), rfc2865.UserPassword_SetString(request, "trap"))
		if err != nil {
			return inTrap{s, err}
		}
		wait := 400 * time.Millisecond // for nothing
		if slices.Contains(believes, p) {
			wait = 20 * time.Second
		}
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		defer cancel()
		client := radius.Client{Retry: 100 * time.Millisecond, MaxPacketErrors: 10}
		_, err = client.Exchange(ctx, request, s.Addr())
		return inTrap{s, err}
	})
	for _, p := range trap.RADIUSPostures() {
		t.Run(p.String(), func(t *testing.T) {
			s, err := came[p].s, came[p].err
			assert.Equal(t, slices.Contains(believes, p), err == nil, "%v", err)
			require.NoError(t, s.Await(t.Context(), 1))
			seen := s.Observed()
			require.Len(t, seen, 1)
			assert.False(t, seen[0].MessageAuthenticator, "it does not sign")
			assert.True(t, seen[0].Password)
		})
	}
}

func TestRADIUSTrapIgnoresNoise(t *testing.T) {
	s := startRADIUS(t, trap.RADIUSHonest)
	conn, err := net.Dial("udp", s.Addr())
	require.NoError(t, err)
	defer conn.Close()
	for _, noise := range [][]byte{{}, {1}, make([]byte, 20), append([]byte{1, 0, 0, 23}, make([]byte, 19)...), append([]byte{1, 0, 0, 22}, append(make([]byte, 16), 80, 2)...), make([]byte, 5000)} {
		_, err := conn.Write(noise)
		require.NoError(t, err)
	}
	request := radius.New(radius.CodeAccountingRequest, []byte(radiusSecret)) // no answer, but seen
	wire, err := request.Encode()
	require.NoError(t, err)
	_, err = conn.Write(wire)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	require.NoError(t, s.Await(ctx, 1))
	assert.Equal(t, []trap.RADIUSRequest{{Code: 4, Sent: 1}}, s.Observed())
	cancel()
	assert.ErrorIs(t, s.Await(ctx, 2), context.Canceled)
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
}

func TestRADIUSTrapNames(t *testing.T) {
	for _, p := range trap.RADIUSPostures() {
		q, err := trap.ParseRADIUSPosture(p.String())
		require.NoError(t, err)
		assert.Equal(t, p, q)
	}
	for _, p := range trap.RadSecPostures() {
		q, err := trap.ParseRadSecPosture(p.String())
		require.NoError(t, err)
		assert.Equal(t, p, q)
	}
	_, err := trap.ParseRADIUSPosture("x")
	assert.Error(t, err)
	_, err = trap.ParseRadSecPosture("x")
	assert.Error(t, err)
	_, err = trap.NewRADIUS(200, connsec.NewSecret("x"))
	assert.Error(t, err)
	_, err = trap.NewRadSec(200)
	assert.Error(t, err)
	_, err = trap.NewRADIUS(trap.RADIUSHonest, connsec.Secret{})
	assert.Error(t, err)
}

// TestTheHonestRadSecTrapSpeaksRADIUS as the library that this project does not share with it.
func TestTheHonestRadSecTrapSpeaksRADIUS(t *testing.T) {
	s, err := trap.NewRadSec(trap.RadSecHistoric)
	require.NoError(t, err)
	defer func() { assert.NoError(t, s.Close()) }()
	cert := testca.MustNew(t).MustIssue(t, testca.Leaf{Names: []string{"client.trap.test"}}).TLS()
	conn, err := tls.Dial("tcp", s.Addr(), &tls.Config{RootCAs: s.Roots(), ServerName: "server.trap.test", Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	require.NoError(t, err)
	request := radius.New(radius.CodeAccessRequest, []byte("radsec"))
	require.NoError(t, rfc2865.UserName_SetString(request, "trap"))
	require.NoError(t, rfc2865.UserPassword_SetString(request, "trap"))
	wire, err := request.Encode()
	require.NoError(t, err)
	_, err = conn.Write(wire)
	require.NoError(t, err)
	answer := make([]byte, 20)
	_, err = io.ReadFull(conn, answer)
	require.NoError(t, err)
	answer = append(answer, make([]byte, int(binary.BigEndian.Uint16(answer[2:]))-20)...)
	_, err = io.ReadFull(conn, answer[20:])
	require.NoError(t, err)
	assert.True(t, radius.IsAuthenticResponse(answer, wire, []byte("radsec")))
	assert.EqualValues(t, radius.CodeAccessAccept, answer[0])
	require.NoError(t, conn.Close())
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	require.NoError(t, s.Await(ctx, 1))
	seen := s.Observed()[0]
	assert.Equal(t, []any{1, 1, true, false, trap.Trusted}, []any{seen.Requests, seen.Passwords, seen.ClientCertificate, seen.Cleartext, seen.TLS.Trust})

	plain, err := net.Dial("tcp", s.Addr())
	require.NoError(t, err)
	_, err = plain.Write(wire)
	require.NoError(t, err)
	_, err = plain.Read(make([]byte, 1))
	assert.True(t, errors.Is(err, io.EOF) || err != nil)
	require.NoError(t, plain.Close())
	require.NoError(t, s.Await(ctx, 2))
	assert.True(t, s.Observed()[1].Cleartext)
	assert.False(t, bytes.Contains([]byte(fmt.Sprint(s.Observed())), []byte(strings.Repeat("x", 9))))
}

func ExampleNewRADIUS() {
	s, err := trap.NewRADIUS(trap.RADIUSForged, connsec.NewSecret("kq7dz4mw-b3xv6hnp-tjr5cy2s-gf4ae7ul"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	request := radius.New(radius.CodeAccessRequest, []byte("kq7dz4mw-b3xv6hnp-tjr5cy2s-gf4ae7ul"))
	client := radius.Client{Retry: 50 * time.Millisecond}
	_, err = client.Exchange(ctx, request, s.Addr())
	fmt.Println("believed:", err == nil, "signed:", s.Observed()[0].MessageAuthenticator)
	// Output: believed: false signed: false
}
