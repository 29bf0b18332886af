package trap

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/internal/tdswire"
)

// call is an RPC of sp_executesql with the given parameters, each a type with its value.
func call(params ...[]byte) []byte {
	b := []byte{0xff, 0xff, procExecuteSQL, 0, 0, 0}
	for _, p := range params {
		b = append(append(b, 0, 0), p...) // no name, no flags
	}
	return b
}

func nvarchar(s string) []byte {
	text := tdswire.AppendUTF16(nil, s)
	b := append([]byte{typeNVarChar, 0x40, 0x1f}, collation[:]...)
	return append(binary.LittleEndian.AppendUint16(b, uint16(len(text))), text...)
}

func TestReadRPC(t *testing.T) {
	q, err := readRPC(call(nvarchar("SELECT @a"), nvarchar("@a int"),
		[]byte{typeInt, 4, 4, 0xff, 0xff, 0xff, 0xff}, []byte{typeInt, 1, 1, 0xff}, []byte{typeInt, 8, 0},
		[]byte{typeBit, 1, 1, 1}, []byte{typeFloat, 4, 4, 0, 0, 0x80, 0x3f}, []byte{typeVarBinary, 0x40, 0x1f, 2, 0, 7, 8},
		[]byte{typeVarBinary, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 9, 0, 0, 0, 0},
		[]byte{typeDate, 3, 1, 0, 0}, []byte{typeDateTimeN, 8, 8, 0, 0, 0, 0, 0x2c, 1, 0, 0}, []byte{typeGUID, 16, 0},
	))
	require.NoError(t, err)
	assert.Equal(t, "SELECT @a", q.Text)
	var values []any
	for _, a := range q.Args {
		values = append(values, a.Value)
	}
	assert.Equal(t, []any{
		int64(-1), int64(255), nil, true, 1.0, []byte{7, 8}, []byte{9},
		time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC), time.Date(1900, 1, 1, 0, 0, 1, 0, time.UTC), nil,
	}, values)

	for name, b := range map[string][]byte{
		"nothing":           {},
		"cut":               call(nvarchar("SELECT 1"))[:20],
		"another procedure": {0xff, 0xff, 13, 0, 0, 0},
		"no statement":      call(),
		"statement is int":  call([]byte{typeInt, 4, 4, 1, 0, 0, 0}),
		"unknown type":      call(nvarchar("x"), nvarchar("x"), []byte{0x99}),
		"two calls":         append(call(nvarchar("x")), 0xff),
		"endless chunk":     call(nvarchar("x"), nvarchar("x"), []byte{typeVarBinary, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}),
	} {
		_, err := readRPC(b)
		assert.Error(t, err, name)
	}
}

// FuzzReadRPC: no parameter holds more than the call had bytes for, and the types are those
// that a responder is promised.
func FuzzReadRPC(f *testing.F) {
	f.Add(call(nvarchar("SELECT 1"), nvarchar("@a int"), []byte{typeInt, 4, 4, 1, 0, 0, 0}))
	f.Add(call(nvarchar("x"), nvarchar("x"), []byte{typeDateTime2, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8}, []byte{typeOffset, 7, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0}))
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := readRPC(b)
		if err != nil {
			return
		}
		require.LessOrEqual(t, len(q.Text), 3*len(b)+10)
		for _, a := range q.Args {
			switch v := a.Value.(type) {
			case nil, bool, int64, float64, time.Time:
			case string:
				require.LessOrEqual(t, len(v), 3*len(b))
			case []byte:
				require.LessOrEqual(t, len(v), len(b))
			default:
				t.Fatalf("%T", v)
			}
		}
	})
}

// FuzzSQLConversation: whatever a client sends, the trap ends the connection and survives.
func FuzzSQLConversation(f *testing.F) {
	prelogin := tdswire.Prelogin{}.Marshal()
	hello := tdswire.AppendMessage(nil, tdswire.PreLogin, prelogin, 0)
	f.Add(uint8(SQLOptional), hello)
	f.Add(uint8(SQLNotSupported), tdswire.AppendMessage(hello[:len(hello):len(hello)], tdswire.Login7, make([]byte, 94), 0))
	f.Add(uint8(SQLStrict), []byte{0x16, 3, 1, 0, 1, 1})
	traps := map[SQLPosture]*SQL{}
	for _, p := range []SQLPosture{SQLForced, SQLOptional, SQLStrict, SQLNotSupported, SQLAnswerOff, SQLRequiredNoTLS} {
		s, err := Options{Timeout: time.Second}.SQL(SQLConfig{Posture: p})
		require.NoError(f, err)
		f.Cleanup(func() { _ = s.Close() })
		traps[p] = s
	}
	f.Fuzz(func(t *testing.T, posture uint8, sent []byte) {
		s := traps[SQLPosture(posture)]
		if s == nil {
			return
		}
		here, there := net.Pipe()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s.serve(t.Context(), newConn(there), func(change func(*SQLConnection)) { change(&SQLConnection{}) })
			_ = there.Close()
		}()
		_ = here.SetDeadline(time.Now().Add(20 * time.Millisecond))
		go func() { _, _ = here.Write(sent) }()
		_, _ = io.Copy(io.Discard, here) // until the trap closes, or the deadline
		_ = here.Close()
		<-ended
	})
}
