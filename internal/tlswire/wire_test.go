package tlswire

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/connsec/connsec/internal/testca"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve answers one connection with crypto/tls and returns the client's end.
func serve(t testing.TB, config *tls.Config) net.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_ = tls.Server(conn, config).Handshake() // it fails: we never finish
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close(); l.Close(); <-done })
	return conn
}

func TestProbeAgainstGo(t *testing.T) {
	ca := testca.MustNew(t)
	rsa := ca.MustIssue(t, testca.Leaf{Names: []string{"central.corp.example"}, Key: testca.RSA2048})
	ec := ca.MustIssue(t, testca.Leaf{Names: []string{"central.corp.example"}})
	both := []tls.Certificate{ec.TLS(), rsa.TLS()}

	var suites []*tls.CipherSuite
	suites = append(append(suites, tls.CipherSuites()...), tls.InsecureCipherSuites()...)
	for _, s := range suites {
		for _, v := range s.SupportedVersions {
			t.Run(VersionName(v)+" "+s.Name, func(t *testing.T) {
				conn := serve(t, &tls.Config{Certificates: both, MinVersion: tls.VersionTLS10, MaxVersion: v, CipherSuites: []uint16{s.ID}, CurvePreferences: []tls.CurveID{tls.CurveP384}})
				f, err := Probe(t.Context(), conn, Hello{MaxVersion: v, Suites: []uint16{s.ID}, ServerName: "central.corp.example"})
				require.NoError(t, err)
				require.Nil(t, f.Alert)
				assert.Equal(t, v, f.Version)
				assert.Equal(t, s.ID, f.Suite)
				assert.True(t, f.Done)
				kx, _ := LookupSuite(s.ID)
				if kx.KeyExchange == "RSA" {
					assert.Zero(t, f.Group)
				} else {
					assert.Equal(t, GroupSecp384r1, f.Group)
				}
				if v == tls.VersionTLS13 {
					assert.True(t, f.Retry)
					assert.Empty(t, f.Certificates)
					return
				}
				assert.True(t, f.SecureRenegotiation)
				assert.True(t, f.ExtendedMasterSecret)
				want := rsa
				if kx.Authentication == "ECDSA" {
					want = ec
				}
				require.Len(t, f.Certificates, 2)
				assert.Equal(t, want.Chain[0].Raw, f.Certificates[0])
				assert.Equal(t, want.Chain[1].Raw, f.Certificates[1])
				if v == tls.VersionTLS12 && kx.KeyExchange == "ECDHE" {
					assert.NotZero(t, f.SignatureScheme)
				} else {
					assert.Zero(t, f.SignatureScheme)
				}
			})
		}
	}
}

func TestEveryKeyShareIsTaken(t *testing.T) {
	cert := testca.MustNew(t).MustIssue(t, testca.Leaf{Names: []string{"a.example"}}).TLS()
	for _, g := range []uint16{GroupX25519, GroupSecp256r1, GroupSecp384r1, GroupSecp521r1, GroupX25519MLKEM, GroupSecP256MLKEM, GroupSecP384MLKEM} {
		t.Run(GroupName(g), func(t *testing.T) {
			conn := serve(t, &tls.Config{Certificates: []tls.Certificate{cert}, CurvePreferences: []tls.CurveID{tls.CurveID(g)}})
			f, err := Probe(t.Context(), conn, Hello{MaxVersion: tls.VersionTLS13, Groups: []uint16{g}, KeyShares: []uint16{g}})
			require.NoError(t, err)
			require.Nil(t, f.Alert, "%v", f.Alert)
			assert.False(t, f.Retry)
			assert.Equal(t, g, f.Group)
		})
	}
}

func TestWhatTheFlightSays(t *testing.T) {
	ca := testca.MustNew(t)
	cert := ca.MustIssue(t, testca.Leaf{Names: []string{"a.example"}}).TLS()
	cert.OCSPStaple = []byte("a staple")
	config := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"tds/8.0"}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool()}

	f, err := Probe(t.Context(), serve(t, config), Hello{MaxVersion: tls.VersionTLS12, ALPN: []string{"h2", "tds/8.0"}})
	require.NoError(t, err)
	assert.Equal(t, "tds/8.0", f.ALPN)
	assert.Equal(t, "a staple", string(f.Staple))
	assert.True(t, f.ClientCertificate)

	f, err = Probe(t.Context(), serve(t, config), Hello{MaxVersion: tls.VersionTLS12, OmitStatusRequest: true, ALPN: []string{"h2"}})
	require.NoError(t, err)
	require.NotNil(t, f.Alert)
	assert.Equal(t, "no_application_protocol", f.Alert.String())
	assert.Zero(t, f.Version)

	f, err = Probe(t.Context(), serve(t, config), Hello{MaxVersion: tls.VersionTLS11})
	require.NoError(t, err)
	require.NotNil(t, f.Alert)
	assert.Equal(t, Alert{2, AlertProtocolVersion}, *f.Alert)

	// One offer for all versions, and the server decides.
	config.MaxVersion = tls.VersionTLS12
	f, err = Probe(t.Context(), serve(t, config), Hello{MaxVersion: tls.VersionTLS13, MinVersion: tls.VersionTLS10, ALPN: []string{"tds/8.0"}})
	require.NoError(t, err)
	assert.Equal(t, VersionName(tls.VersionTLS12), VersionName(f.Version))
	s, _ := LookupSuite(f.Suite)
	assert.Zero(t, s.Weakness, s.Name)
}

func TestProbeEndsWithItsContext(t *testing.T) {
	silent := func() net.Conn {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		conn, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close(); l.Close() })
		return conn
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := Probe(ctx, silent(), Hello{MaxVersion: tls.VersionTLS12})
	require.ErrorIs(t, err, context.DeadlineExceeded)

	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	_, err = Probe(ctx, silent(), Hello{MaxVersion: tls.VersionTLS12})
	require.ErrorIs(t, err, context.Canceled)
}

// message and records build what a hostile server could send.
func message(kind uint8, body ...byte) []byte {
	return append([]byte{kind, uint8(len(body) >> 16), uint8(len(body) >> 8), uint8(len(body))}, body...)
}

func recordOf(kind uint8, body ...byte) []byte {
	return append([]byte{kind, 3, 3, uint8(len(body) >> 8), uint8(len(body))}, body...)
}

func serverHello(version, suite uint16, extensions ...byte) []byte {
	body := append([]byte{uint8(version >> 8), uint8(version)}, make([]byte, 32)...)
	body = append(body, 0, uint8(suite>>8), uint8(suite), 0)
	return message(typeServerHello, append(body, extensions...)...)
}

func TestOddAnswers(t *testing.T) {
	hello := serverHello(tls.VersionTLS12, tls.TLS_RSA_WITH_AES_128_CBC_SHA)
	done := message(typeServerHelloDone)
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	warning := recordOf(recordAlert, 1, AlertUnrecognizedName)

	tests := []struct {
		what string
		in   []byte
		err  string // empty: none
		see  func(*testing.T, Flight)
	}{
		{what: "nothing", err: "EOF"},
		{what: "plain HTTP", in: []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), err: `does not speak TLS: it begins with "HTTP/"`},
		{what: "SMTP, short", in: []byte("22"), err: `it begins with "22"`},
		{what: "half a record header", in: []byte{22, 3, 3}, err: "unexpected EOF"},
		{what: "half a record", in: []byte{22, 3, 3, 0, 100, 2}, err: "unexpected EOF"},
		{what: "half a flight", in: recordOf(recordHandshake, hello...), err: "unexpected EOF", see: func(t *testing.T, f Flight) {
			assert.Equal(t, uint16(tls.VersionTLS12), f.Version)
		}},
		{what: "a whole flight in one record", in: recordOf(recordHandshake, join(hello, done)...), see: func(t *testing.T, f Flight) {
			assert.True(t, f.Done)
			assert.Nil(t, f.Certificates)
		}},
		{what: "one byte in each record", in: func() []byte {
			var out []byte
			for _, b := range join(hello, done) {
				out = append(out, recordOf(recordHandshake, b)...)
			}
			return out
		}(), see: func(t *testing.T, f Flight) { assert.True(t, f.Done) }},
		{what: "an alert", in: recordOf(recordAlert, 2, AlertHandshakeFailure), see: func(t *testing.T, f Flight) {
			assert.Equal(t, &Alert{2, AlertHandshakeFailure}, f.Alert)
		}},
		{what: "an alert in the middle", in: join(recordOf(recordHandshake, hello...), recordOf(recordAlert, 2, 80)), see: func(t *testing.T, f Flight) {
			assert.Equal(t, "internal_error", f.Alert.String())
			assert.NotZero(t, f.Version)
		}},
		{what: "a warning, then the flight", in: join(warning, recordOf(recordHandshake, join(hello, done)...)), see: func(t *testing.T, f Flight) {
			assert.Len(t, f.Warnings, 1)
			assert.Nil(t, f.Alert)
			assert.True(t, f.Done)
		}},
		{what: "a warning, then the end", in: warning, see: func(t *testing.T, f Flight) {
			assert.Equal(t, "unrecognized_name", f.Alert.String())
			assert.Empty(t, f.Warnings)
		}},
		{what: "close_notify", in: recordOf(recordAlert, 1, 0), see: func(t *testing.T, f Flight) {
			assert.Equal(t, "close_notify", f.Alert.String())
		}},
		{what: "endless warnings", in: bytes.Repeat(warning, 100), err: "more than a handshake needs"},
		{what: "an alert of no known level", in: recordOf(recordAlert, 3, 40), err: "malformed alert"},
		{what: "a lone alert byte", in: recordOf(recordAlert, 2), err: "malformed alert"},
		{what: "a record that is too long", in: []byte{22, 3, 3, 0xff, 0xff}, err: "more than a handshake needs"},
		{what: "a message that is too long", in: recordOf(recordHandshake, 2, 0xff, 0xff, 0xff), err: "more than a handshake needs"},
		{what: "hello requests without end", in: bytes.Repeat(recordOf(recordHandshake, message(typeHelloRequest)...), 1000), err: "more than a handshake needs"},
		{what: "empty handshake records", in: bytes.Repeat([]byte{22, 3, 3, 0, 0}, 3), err: "malformed handshake record"},
		{what: "certificates first", in: recordOf(recordHandshake, message(typeCertificate, 0, 0, 0)...), err: "no ServerHello"},
		{what: "two server hellos", in: recordOf(recordHandshake, join(hello, hello)...), err: "second ServerHello"},
		{what: "certificates twice", in: recordOf(recordHandshake, join(hello, message(typeCertificate, 0, 0, 0), message(typeCertificate, 0, 0, 0))...), err: "malformed Certificate"},
		{what: "an empty certificate", in: recordOf(recordHandshake, join(hello, message(typeCertificate, 0, 0, 3, 0, 0, 0))...), err: "malformed Certificate"},
		{what: "65 certificates", in: recordOf(recordHandshake, join(hello, message(typeCertificate, append([]byte{0, 1, 4}, bytes.Repeat([]byte{0, 0, 1, 7}, 65)...)...))...), err: "more than a handshake needs"},
		{what: "application data", in: recordOf(recordApplication, 1), err: "does not belong to a handshake"},
		{what: "ChangeCipherSpec first", in: recordOf(recordChangeCipherSpec, 1), err: "before ServerHello"},
		{what: "an abbreviated handshake", in: join(recordOf(recordHandshake, hello...), recordOf(recordChangeCipherSpec, 1)), see: func(t *testing.T, f Flight) { assert.True(t, f.Done) }},
		{what: "a client's message", in: recordOf(recordHandshake, join(hello, message(typeClientHello))...), err: "does not belong there"},
		{what: "TLS 1.9", in: recordOf(recordHandshake, serverHello(0x030a, 1)...), err: "unknown version 0x030A"},
		{what: "DTLS", in: recordOf(recordHandshake, serverHello(0xfefd, 1)...), err: "unknown version 0xFEFD"},
		{what: "extensions that overrun", in: recordOf(recordHandshake, serverHello(tls.VersionTLS12, 1, 0, 9, 1)...), err: "malformed extensions"},
		{what: "an extension twice", in: recordOf(recordHandshake, serverHello(tls.VersionTLS12, 1, 0, 8, 0, 23, 0, 0, 0, 23, 0, 0)...), err: "malformed extensions"},
		{what: "another byte glued behind a record", in: join(recordOf(recordHandshake, hello...), []byte("x")), err: "malformed record header"},
		{what: "deflate", in: recordOf(recordHandshake, join(func() []byte { h := bytes.Clone(hello); h[len(h)-1] = 1; return h }(), done)...), see: func(t *testing.T, f Flight) { assert.True(t, f.Deflate) }},
		{what: "a short prime", in: recordOf(recordHandshake, join(serverHello(tls.VersionTLS11, 0x0014),
			message(typeServerKeyExchange, append(append([]byte{0, 65, 0, 0x80}, make([]byte, 63)...), 0, 1, 2, 0, 1, 9)...), done)...), see: func(t *testing.T, f Flight) {
			assert.Equal(t, 512, f.DHBits)
		}},
		{what: "half a prime", in: recordOf(recordHandshake, join(serverHello(tls.VersionTLS11, 0x0014), message(typeServerKeyExchange, 0, 64, 1))...), err: "malformed ServerKeyExchange"},
	}
	for _, tc := range tests {
		t.Run(tc.what, func(t *testing.T) {
			f, err := ReadServerFlight(bytes.NewReader(tc.in))
			if tc.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, tc.err)
			}
			if tc.see != nil {
				tc.see(t, f)
			}
		})
	}
	_, err := ReadServerFlight(iotest.ErrReader(errors.New("connection reset")))
	assert.ErrorContains(t, err, "connection reset")
	var notTLS *NotTLSError
	_, err = ReadServerFlight(bytes.NewReader([]byte("SSH-2.0-x")))
	assert.ErrorAs(t, err, &notTLS)
}

func TestHellosThatCannotBe(t *testing.T) {
	for what, h := range map[string]Hello{
		"no version":              {},
		"a version of the future": {MaxVersion: 0x0305},
		"min over max":            {MaxVersion: tls.VersionTLS12, MinVersion: tls.VersionTLS13},
		"no suite":                {MaxVersion: tls.VersionTLS12, Suites: []uint16{}},
		"an empty protocol":       {MaxVersion: tls.VersionTLS12, ALPN: []string{""}},
		"a long name":             {MaxVersion: tls.VersionTLS12, ServerName: string(make([]byte, 256))},
		"a share not offered":     {MaxVersion: tls.VersionTLS13, Groups: []uint16{29}, KeyShares: []uint16{23}},
		"a share we cannot make":  {MaxVersion: tls.VersionTLS13, KeyShares: []uint16{GroupX448}},
		"more than a record":      {MaxVersion: tls.VersionTLS12, Suites: make([]uint16, 9000)},
	} {
		_, err := h.Marshal(nil)
		assert.Error(t, err, what)
	}
	_, err := Hello{MaxVersion: tls.VersionTLS13}.Marshal(iotest.ErrReader(errors.New("dry")))
	assert.ErrorContains(t, err, "randomness")
}

// What Marshal writes, ReadClientHello reads, and byte for byte the same again.
func TestHelloRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.Uint16()
		h := Hello{
			MaxVersion: rapid.Uint16Range(VersionSSL30, tls.VersionTLS13).Draw(t, "max"),
			Suites:     rapid.SliceOfN(id, 1, 200).Draw(t, "suites"),
			Groups:     rapid.SliceOfNDistinct(id, 1, 20, rapid.ID).Draw(t, "groups"),
			ServerName: rapid.StringMatching(`([a-z]{1,20}\.){0,3}[a-z]{2,9}`).Draw(t, "name"),
			ALPN:       rapid.SliceOfN(rapid.StringN(1, 20, 40), 0, 4).Draw(t, "alpn"),
			Deflate:    rapid.Bool().Draw(t, "deflate"),
		}
		raw, err := h.Marshal(bytes.NewReader(make([]byte, 64)))
		if err != nil {
			t.Fatal(err)
		}
		in := bytes.NewReader(append(bytes.Clone(raw), "what follows"...))
		got, err := ReadClientHello(in)
		if err != nil {
			t.Fatal(err)
		}
		rest, _ := io.ReadAll(in)
		check := func(ok bool, what string) {
			if !ok {
				t.Fatalf("%s: %+v from %+v", what, got, h)
			}
		}
		check(string(rest) == "what follows" && bytes.Equal(got.Raw, raw), "boundaries")
		check(got.MaxVersion() == h.MaxVersion, "version")
		check(bytes.Equal(u16(got.Suites[:len(h.Suites)]), u16(h.Suites)), "suites")
		if h.MaxVersion > VersionSSL30 {
			check(got.ServerName == h.ServerName, "name")
			check(bytes.Equal(u16(got.Groups), u16(h.Groups)), "groups")
			check(len(got.ALPN) == len(h.ALPN), "alpn")
			check(len(raw)-5 < 256 || len(raw)-5 >= 512, "the lengths that make servers hang")
		}
		check((len(got.Compressions) == 2) == (h.Deflate && h.MaxVersion < tls.VersionTLS13), "compression")
	})
}

func u16(values []uint16) []byte {
	var out []byte
	for _, v := range values {
		out = append(out, uint8(v>>8), uint8(v))
	}
	return out
}

func TestNoServerNameForAddresses(t *testing.T) {
	for name, want := range map[string]string{"127.0.0.1": "", "::1": "", "[::1]": "", "": "", "a.example.": "a.example", "localhost": "localhost"} {
		raw, err := Hello{MaxVersion: tls.VersionTLS13, ServerName: name}.Marshal(nil)
		require.NoError(t, err)
		got, err := ReadClientHello(bytes.NewReader(raw))
		require.NoError(t, err)
		assert.Equal(t, want, got.ServerName)
	}
}

func TestReadClientHelloOfGo(t *testing.T) {
	client, server := net.Pipe()
	defer server.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tls.Client(client, &tls.Config{ServerName: "central.corp.example", NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS12}).Handshake()
		client.Close()
	}()
	h, err := ReadClientHello(server)
	require.NoError(t, err)
	server.Close()
	<-done
	assert.Equal(t, "central.corp.example", h.ServerName)
	assert.Equal(t, []string{"h2", "http/1.1"}, h.ALPN)
	assert.Equal(t, []uint16{tls.VersionTLS13, tls.VersionTLS12}, h.Versions)
	assert.Equal(t, uint16(tls.VersionTLS13), h.MaxVersion())
	assert.Contains(t, h.Suites, uint16(tls.TLS_AES_128_GCM_SHA256))
	assert.Contains(t, h.Groups, GroupX25519)
	assert.Contains(t, h.KeyShares, GroupX25519)
	assert.True(t, h.StatusRequest)
	assert.NotEmpty(t, h.SignatureSchemes)
}

func TestOddClientHellos(t *testing.T) {
	for what, tc := range map[string]struct {
		in  []byte
		err string
	}{
		"nothing":         {nil, "EOF"},
		"HTTP":            {[]byte("GET / HTTP/1.1\r\n"), `begins with "GET /"`},
		"SSL 2.0":         {[]byte{0x80, 0x2e, 1, 0, 2, 0, 0}, "does not speak TLS"},
		"an alert":        {recordOf(recordAlert, 2, 40), "another record"},
		"a server":        {recordOf(recordHandshake, serverHello(0x0303, 1)...), "another handshake message"},
		"an empty record": {recordOf(recordHandshake), "another record"},
		"half":            {recordOf(recordHandshake, 1, 0, 1, 0, 3, 3), "unexpected EOF"},
		"half a record":   {[]byte{22, 3, 1, 1, 0, 1}, "unexpected EOF"},
		"without suites":  {recordOf(recordHandshake, message(1, append(append([]byte{3, 3}, make([]byte, 33)...), 0, 0, 1, 0)...)...), "malformed ClientHello"},
		"too long":        {recordOf(recordHandshake, 1, 0xff, 0, 0), "more than a handshake needs"},
	} {
		t.Run(what, func(t *testing.T) {
			h, err := ReadClientHello(bytes.NewReader(tc.in))
			require.ErrorContains(t, err, tc.err)
			assert.True(t, bytes.HasPrefix(tc.in, h.Raw))
		})
	}
}

func FuzzReadServerFlight(f *testing.F) {
	f.Add(recordOf(recordHandshake, append(serverHello(tls.VersionTLS12, 0xc02f), message(typeServerHelloDone)...)...))
	f.Add(recordOf(recordHandshake, serverHello(tls.VersionTLS12, 0x1301, 0, 12, 0, 43, 0, 2, 3, 4, 0, 51, 0, 2, 0, 29)...))
	f.Add(recordOf(recordAlert, 1, 112, 2, 40))
	f.Add([]byte("HTTP/1.1 400\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		flight, err := ReadServerFlight(r)
		again, errAgain := ReadServerFlight(iotest.OneByteReader(bytes.NewReader(in)))
		assert.Equal(t, flight, again, "how the bytes arrive must not matter")
		assert.Equal(t, err == nil, errAgain == nil)
		if flight.Version != 0 {
			assert.GreaterOrEqual(t, flight.Version, VersionSSL30)
			assert.LessOrEqual(t, flight.Version, uint16(tls.VersionTLS13))
		} else {
			assert.Empty(t, flight.Certificates)
			assert.False(t, flight.Done)
		}
		if err == nil {
			assert.True(t, flight.Done || flight.Alert != nil, "an answer has an end")
		}
		if flight.Done && flight.Alert != nil {
			t.Error("both answered and refused")
		}
		assert.LessOrEqual(t, len(flight.Certificates), maxCertificates)
		assert.LessOrEqual(t, len(flight.Warnings), maxWarnings+1)
	})
}

func FuzzReadClientHello(f *testing.F) {
	for v := VersionSSL30; v <= tls.VersionTLS13; v++ {
		raw, err := Hello{MaxVersion: v, ServerName: "a.example", ALPN: []string{"h2"}}.Marshal(bytes.NewReader(make([]byte, 64)))
		require.NoError(f, err)
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		h, err := ReadClientHello(bytes.NewReader(in))
		require.True(t, bytes.HasPrefix(in, h.Raw), "Raw is what was read")
		if err != nil {
			return
		}
		again, err := ReadClientHello(bytes.NewReader(h.Raw))
		require.NoError(t, err, "Raw is the whole of it")
		assert.Equal(t, h, again)
		assert.NotEmpty(t, h.Suites)
		assert.NotEmpty(t, h.Versions)
		assert.LessOrEqual(t, len(h.Raw), maxFlight)
	})
}

func BenchmarkMarshal(b *testing.B) {
	b.ReportAllocs()
	h := Hello{MaxVersion: tls.VersionTLS12, ServerName: "central.corp.example"}
	for b.Loop() {
		if _, err := h.Marshal(nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadServerFlight(b *testing.B) {
	cert := testca.MustNew(b).MustIssue(b, testca.Leaf{Names: []string{"a.example"}}).TLS()
	conn := serve(b, &tls.Config{Certificates: []tls.Certificate{cert}})
	var seen bytes.Buffer
	hello, err := Hello{MaxVersion: tls.VersionTLS12}.Marshal(nil)
	require.NoError(b, err)
	_, err = conn.Write(hello)
	require.NoError(b, err)
	_, err = ReadServerFlight(io.TeeReader(conn, &seen))
	require.NoError(b, err)
	b.ReportAllocs()
	b.SetBytes(int64(seen.Len()))
	for b.Loop() {
		if _, err := ReadServerFlight(bytes.NewReader(seen.Bytes())); err != nil {
			b.Fatal(err)
		}
	}
}

// What one question costs, beside the full handshake that also answers it.
func BenchmarkProbe(b *testing.B) {
	ca := testca.MustNew(b)
	cert := ca.MustIssue(b, testca.Leaf{Names: []string{"a.example"}, Key: testca.RSA2048}).TLS()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	require.NoError(b, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.(*tls.Conn).Handshake()
			conn.Close()
		}
	}()
	defer func() { l.Close(); <-done }()
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		b.Run("flight "+VersionName(v), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				conn, err := net.Dial("tcp", l.Addr().String())
				require.NoError(b, err)
				_, err = Probe(b.Context(), conn, Hello{MaxVersion: v})
				require.NoError(b, err)
				conn.Close()
			}
		})
		b.Run("full handshake "+VersionName(v), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: ca.Pool(), ServerName: "a.example", MaxVersion: v})
				require.NoError(b, err)
				conn.Close()
			}
		})
	}
}
