package tdswire_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/connsec/connsec/internal/tdswire"
)

// The bytes of a PRELOGIN with its answer, from the example in MS-TDS 4.1 and 4.2.
var (
	specPrelogin = []byte{
		0x12, 0x01, 0x00, 0x2f, 0x00, 0x00, 0x01, 0x00,
		0x00, 0x00, 0x1a, 0x00, 0x06, 0x01, 0x00, 0x20, 0x00, 0x01, 0x02, 0x00, 0x21, 0x00, 0x01, 0x03, 0x00, 0x22, 0x00, 0x04, 0x04, 0x00, 0x26, 0x00, 0x01, 0xff,
		0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0xb8, 0x0d, 0x00, 0x00, 0x01,
	}
	specAnswer = []byte{
		0x04, 0x01, 0x00, 0x2b, 0x00, 0x00, 0x01, 0x00,
		0x00, 0x00, 0x1a, 0x00, 0x06, 0x01, 0x00, 0x20, 0x00, 0x01, 0x02, 0x00, 0x21, 0x00, 0x01, 0x03, 0x00, 0x22, 0x00, 0x00, 0x04, 0x00, 0x22, 0x00, 0x01, 0xff,
		0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x01,
	}
)

func TestTheExamplesOfTheSpecification(t *testing.T) {
	kind, message, err := tdswire.ReadMessage(bytes.NewReader(specPrelogin), 4096)
	require.NoError(t, err)
	assert.Equal(t, tdswire.PreLogin, kind)
	p, err := tdswire.ParsePrelogin(message)
	require.NoError(t, err)
	assert.Equal(t, tdswire.EncryptOn, *p.Encryption)
	assert.Equal(t, "9.0.0", p.Version.String())
	assert.True(t, p.MARS)

	kind, message, err = tdswire.ReadMessage(bytes.NewReader(specAnswer), 4096)
	require.NoError(t, err)
	assert.Equal(t, tdswire.Reply, kind)
	p, err = tdswire.ParsePrelogin(message)
	require.NoError(t, err)
	assert.Equal(t, tdswire.EncryptOn, *p.Encryption)
	p.Answer = true
	assert.Equal(t, specAnswer[8:], p.Marshal())

	// The same answer as a SQL Server 2012 SP1 gave it.
	real := append(bytes.Clone(specAnswer[:34]), 0x0b, 0x00, 0x0b, 0xb8, 0x00, 0x00, 0x01, 0x00, 0x01)
	p, err = tdswire.ParsePrelogin(real[8:])
	require.NoError(t, err)
	assert.Equal(t, "11.0.3000", p.Version.String())
	assert.Equal(t, tdswire.EncryptOn, *p.Encryption)
}

func TestReadPacketRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		b    []byte
		want error
	}{
		{"nothing", nil, io.EOF},
		{"half a header", specAnswer[:5], io.ErrUnexpectedEOF},
		{"half a packet", specAnswer[:20], io.ErrUnexpectedEOF},
		{"HTTP", []byte("HTTP/1.1 400 Bad Request"), tdswire.ErrNotTDS},
		{"TLS", []byte{0x15, 3, 1, 0, 2, 2, 40, 0}, tdswire.ErrNotTDS},
		{"length below the header", []byte{4, 1, 0, 7, 0, 0, 1, 0}, nil},
		{"length zero", []byte{4, 1, 0, 0, 0, 0, 1, 0}, nil},
		{"length beyond the maximum", []byte{4, 1, 0xff, 0xff, 0, 0, 1, 0}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tdswire.ReadPacket(bytes.NewReader(tt.b))
			require.Error(t, err)
			if tt.want != nil {
				assert.ErrorIs(t, err, tt.want)
			}
		})
	}
	_, _, err := tdswire.ReadMessage(bytes.NewReader(bytes.Repeat([]byte{4, 0, 0, 8, 0, 0, 1, 0}, 100)), 100)
	assert.ErrorIs(t, err, tdswire.ErrTooLong, "empty packets without end")
	_, _, err = tdswire.ReadMessage(bytes.NewReader(append([]byte{4, 0, 0, 8, 0, 0, 1, 0}, 1, 1, 0, 8, 0, 0, 1, 0)), 100)
	assert.Error(t, err, "a message of two types")
	_, _, err = tdswire.ReadMessage(bytes.NewReader([]byte{4, 0, 0, 8, 0, 0, 1, 0}), 100)
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func TestMessagesOfAnyLengthComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		message := rapid.SliceOfN(rapid.Byte(), 0, 20_000).Draw(t, "message")
		size := rapid.IntRange(0, 40_000).Draw(t, "size")
		b := tdswire.AppendMessage(nil, tdswire.SQLBatch, message, size)
		r := bytes.NewReader(b)
		kind, got, err := tdswire.ReadMessage(r, len(message))
		require.NoError(t, err)
		require.Equal(t, tdswire.SQLBatch, kind)
		require.True(t, bytes.Equal(message, got))
		require.Zero(t, r.Len(), "nothing is left and nothing was taken beyond")
		if len(message) > 0 {
			_, _, err = tdswire.ReadMessage(bytes.NewReader(b), len(message)-1)
			require.ErrorIs(t, err, tdswire.ErrTooLong)
		}
	})
}

func TestParsePreloginRefuses(t *testing.T) {
	for name, b := range map[string][]byte{
		"empty":               {},
		"no end":              {1, 0, 6, 0, 1},
		"cut":                 {1, 0, 6},
		"outside":             {1, 0xff, 0xf0, 0, 1, 0xff},
		"sum wraps":           {1, 0xff, 0xff, 0xff, 0xff, 0xff},
		"twice":               {1, 0, 11, 0, 1, 1, 0, 11, 0, 1, 0xff, 2},
		"one beyond the last": {1, 0, 6, 0, 2, 0xff, 1},
	} {
		_, err := tdswire.ParsePrelogin(b)
		assert.Error(t, err, name)
	}
	p, err := tdswire.ParsePrelogin([]byte{1, 0, 6, 0, 0, 0xff})
	require.NoError(t, err)
	assert.Nil(t, p.Encryption, "an option without a value says nothing")
}

func TestParseLogin(t *testing.T) {
	login := buildLogin("host", "sa", "secret", "app", "lib", "db")
	l, err := tdswire.ParseLogin(login)
	require.NoError(t, err)
	assert.Equal(t, tdswire.Login{
		TDSVersion: 0x74000004, PacketSize: 4096, HostName: "host", UserName: "sa", HasPassword: true, AppName: "app", Library: "lib", Database: "db",
	}, l)
	l, err = tdswire.ParseLogin(buildLogin("", "sa", "", "", "", ""))
	require.NoError(t, err)
	assert.False(t, l.HasPassword)

	_, err = tdswire.ParseLogin(login[:50])
	assert.Error(t, err)
	wild := bytes.Clone(login)
	binary.LittleEndian.PutUint16(wild[40:], 0xfff0)
	_, err = tdswire.ParseLogin(wild)
	assert.Error(t, err)
	long := bytes.Clone(login)
	binary.LittleEndian.PutUint32(long, uint32(len(long)+1))
	_, err = tdswire.ParseLogin(long)
	assert.Error(t, err)
}

func buildLogin(host, user, password, app, library, database string) []byte {
	b := make([]byte, 94)
	binary.LittleEndian.PutUint32(b[4:], 0x74000004)
	binary.LittleEndian.PutUint32(b[8:], 4096)
	for at, s := range map[int]string{36: host, 40: user, 44: password, 48: app, 60: library, 68: database} {
		binary.LittleEndian.PutUint16(b[at:], uint16(len(b)))
		binary.LittleEndian.PutUint16(b[at+2:], uint16(len(s)))
		b = tdswire.AppendUTF16(b, s)
	}
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	return b
}

func TestHandshakeConn(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	client, server := tdswire.NewHandshakeConn(a), tdswire.NewHandshakeConn(b)
	go func() {
		_, _ = client.Write([]byte("flight"))
		client.Unwrap()
		_, _ = client.Write([]byte("bare"))
	}()
	got := make([]byte, 3)
	for _, want := range []string{"fli", "ght"} {
		_, err := io.ReadFull(server, got)
		require.NoError(t, err)
		assert.Equal(t, want, string(got))
	}
	server.Unwrap()
	got = make([]byte, 4)
	_, err := io.ReadFull(server, got)
	require.NoError(t, err)
	assert.Equal(t, "bare", string(got))

	go func() { _ = tdswire.WriteMessage(a, tdswire.SQLBatch, []byte("x"), 0) }()
	_, err = tdswire.NewHandshakeConn(b).Read(got)
	assert.Error(t, err)
}

func TestBrowser(t *testing.T) {
	assert.Equal(t, []byte{3}, tdswire.BrowserRequest(""))
	assert.Equal(t, []byte{4, 'A', 'B', 0}, tdswire.BrowserRequest("AB"))
	answer := func(s string) []byte { return append([]byte{5, byte(len(s)), byte(len(s) >> 8)}, s...) }
	got, err := tdswire.ParseBrowserAnswer(answer("ServerName;S;InstanceName;A;tcp;1433;tcp;1;;InstanceName;B;odd;;"))
	require.NoError(t, err)
	assert.Equal(t, []map[string]string{{"servername": "S", "instancename": "A", "tcp": "1433"}, {"instancename": "B"}}, got)
	for _, bad := range [][]byte{nil, {5}, {4, 0, 0}, {5, 9, 0, 'x'}} {
		_, err := tdswire.ParseBrowserAnswer(bad)
		assert.Error(t, err)
	}
	got, err = tdswire.ParseBrowserAnswer(answer(strings.Repeat("InstanceName;A;;", 1000)))
	require.NoError(t, err)
	assert.Len(t, got, 64)
}

// FuzzReadMessage: what is read is never more than what was there, and reads again the same
// after it was written.
func FuzzReadMessage(f *testing.F) {
	f.Add(specPrelogin)
	f.Add(specAnswer)
	f.Add(append(append([]byte{}, 4, 0, 0, 9, 0, 0, 1, 0, 7), 4, 1, 0, 8, 0, 0, 2, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		kind, message, err := tdswire.ReadMessage(r, 1<<16)
		if err != nil {
			return
		}
		require.LessOrEqual(t, len(message)+8, len(b)-r.Len())
		again, same, err := tdswire.ReadMessage(bytes.NewReader(tdswire.AppendMessage(nil, kind, message, 512)), 1<<16)
		require.NoError(t, err)
		require.Equal(t, kind, again)
		require.True(t, bytes.Equal(message, same))
	})
}

// FuzzParsePrelogin: what is understood can be said again with the same meaning.
func FuzzParsePrelogin(f *testing.F) {
	f.Add(specPrelogin[8:])
	f.Add(specAnswer[8:])
	f.Add([]byte{1, 0xff, 0xf6, 0, 1, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := tdswire.ParsePrelogin(b)
		if err != nil {
			return
		}
		if len(p.Nonce) > 1000 || len(p.Instance) > 1000 {
			return
		}
		again, err := tdswire.ParsePrelogin(p.Marshal())
		require.NoError(t, err)
		if p.Instance == nil {
			again.Instance = nil
		}
		require.Equal(t, p, again)
	})
}

// FuzzParseLogin: no field reaches outside of the message, whatever the offsets say.
func FuzzParseLogin(f *testing.F) {
	f.Add(buildLogin("host", "sa", "secret", "app", "lib", "db"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := tdswire.ParseLogin(b)
		if err == nil {
			for _, s := range []string{l.HostName, l.UserName, l.AppName, l.ServerName, l.Library, l.Database} {
				require.LessOrEqual(t, len(s), 3*len(b))
			}
		}
	})
}

// FuzzParseBrowserAnswer: keys are lower case, and no value is longer than the datagram.
func FuzzParseBrowserAnswer(f *testing.F) {
	f.Add([]byte("\x05\x12\x00InstanceName;A;;x;"))
	f.Fuzz(func(t *testing.T, b []byte) {
		instances, err := tdswire.ParseBrowserAnswer(b)
		if err != nil {
			return
		}
		require.LessOrEqual(t, len(instances), 64)
		for _, i := range instances {
			for k, v := range i {
				require.Equal(t, strings.ToLower(k), k)
				require.LessOrEqual(t, len(v), len(b))
			}
		}
	})
}

func BenchmarkParsePrelogin(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tdswire.ParsePrelogin(specAnswer[8:]); err != nil {
			b.Fatal(err)
		}
	}
}
