package trap

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/internal/tlswire"
)

// script is a connection that yields what it is told, one byte at a time, and then err.
type script struct {
	net.Conn
	in  []byte
	err error
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, s.err
	}
	p[0], s.in = s.in[0], s.in[1:]
	return 1, nil
}

func TestConnLooksAhead(t *testing.T) {
	c := newConn(&script{in: []byte("hello, world"), err: io.EOF})
	got, err := c.peek(5)
	require.NoError(t, err)
	assert.Equal(t, "hello", string(got))
	got, err = c.peek(2)
	require.NoError(t, err)
	assert.Equal(t, "he", string(got), "again, and no more than asked")

	buf := make([]byte, 3)
	n, err := c.Read(buf)
	require.NoError(t, err)
	assert.Equal(t, "hel", string(buf[:n]))
	got, err = c.peek(6)
	require.NoError(t, err)
	assert.Equal(t, "lo, wo", string(got))
	c.unread([]byte("HEL"))
	got, err = c.peek(100)
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.Equal(t, "HELlo, world", string(got))
	all, err := io.ReadAll(c)
	require.NoError(t, err)
	assert.Equal(t, "HELlo, world", string(all))
}

type endless struct{ net.Conn }

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestConnReadsOnlySoMuch(t *testing.T) {
	c := newConn(endless{})
	n, err := io.Copy(io.Discard, c)
	assert.ErrorIs(t, err, errFlood)
	assert.EqualValues(t, maxRead, n)
	assert.False(t, newConn(endless{}).drain(), "it was not the client that ended it")
}

func TestWhoEndedIt(t *testing.T) {
	reset := errors.New("connection reset by peer")
	for what, tc := range map[string]struct {
		err  error
		gone bool
	}{
		"the end":             {io.EOF, true},
		"in the middle":       {io.ErrUnexpectedEOF, true},
		"a reset":             {&net.OpError{Op: "read", Err: reset}, true},
		"a broken pipe":       {&net.OpError{Op: "write", Err: reset}, true},
		"our own close":       {&net.OpError{Op: "read", Err: net.ErrClosed}, false},
		"a crypto/tls matter": {&net.OpError{Op: "local error", Err: reset}, false},
		"too much":            {errFlood, false},
		"nothing":             {nil, false},
	} {
		assert.Equal(t, tc.gone, wentAway(tc.err), what)
	}
	a, b := net.Pipe()
	defer b.Close()
	a.Close()
	_, err := a.Read(make([]byte, 1))
	assert.False(t, isTimeout(err))
}

// The tap sees alerts in the clear, however the bytes are cut, and no encrypted ones.
func TestAlertTap(t *testing.T) {
	hello := append([]byte{22, 3, 1, 0, 3}, 1, 21, 2)
	clear := []byte{21, 3, 3, 0, 2, 2, 48}
	encrypted := append([]byte{21, 3, 3, 0, 26}, make([]byte, 26)...)
	for what, tc := range map[string]struct {
		in   []byte
		want string
	}{
		"nothing":             {nil, ""},
		"a hello":             {hello, ""},
		"an alert":            {clear, "unknown_ca"},
		"an alert at the end": {bytes.Join([][]byte{hello, {20, 3, 3, 0, 1, 1}, clear}, nil), "unknown_ca"},
		"an encrypted alert":  {append(bytes.Clone(hello), encrypted...), ""},
		"half an alert":       {clear[:6], ""},
		"empty records":       {append([]byte{22, 3, 3, 0, 0, 20, 3, 3, 0, 0}, clear...), "unknown_ca"},
	} {
		for size := 1; size <= len(tc.in)+1; size++ {
			tap := &alertTap{}
			for rest := tc.in; len(rest) > 0; {
				n := min(size, len(rest))
				tap.look(rest[:n])
				rest = rest[n:]
			}
			got := ""
			if tap.alert != nil {
				got = tap.alert.String()
			}
			assert.Equal(t, tc.want, got, "%s, %d bytes at a time", what, size)
		}
	}
}

func TestARecordKeepsNoMoreThanItShould(t *testing.T) {
	hello := tlswire.ClientHello{Versions: make([]uint16, 9999), Suites: make([]uint16, 9999), ALPN: make([]string, 9999), ServerName: string(make([]byte, 9999))}
	for i := range hello.Suites {
		hello.Suites[i], hello.Versions[i] = 0x1301, 0x0304
	}
	var h Handshake
	h.offer(hello)
	assert.Len(t, h.Suites, maxOffer)
	assert.Len(t, h.Versions, maxOffer)
	assert.Len(t, h.ALPN, maxOffer)
	assert.Len(t, h.ServerName, 255)
}
