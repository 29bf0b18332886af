package realsrv_test

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/internal/realsrv"
)

func TestTDSPool(t *testing.T) {
	srv := realsrv.TDSPool{}.Start(t)
	for ask := range byte(4) {
		conn, err := net.DialTimeout("tcp", srv.Addr, 10*time.Second)
		require.NoError(t, err)
		require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
		// [MS-TDS] 2.2.6.5: VERSION and ENCRYPTION, then the terminator.
		payload := []byte{0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff, 1, 2, 3, 4, 0, 0, ask}
		packet := binary.BigEndian.AppendUint16([]byte{0x12, 1}, uint16(8+len(payload)))
		_, err = conn.Write(append(append(packet, 0, 0, 1, 0), payload...))
		require.NoError(t, err)
		head := make([]byte, 8)
		_, err = io.ReadFull(conn, head)
		require.NoError(t, err)
		body := make([]byte, binary.BigEndian.Uint16(head[2:])-8)
		_, err = io.ReadFull(conn, body)
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		assert.Equal(t, byte(4), head[0], "tabular result")
		encryption := byte(0xff)
		for option := body; option[0] != 0xff; option = option[5:] {
			if option[0] == 1 {
				encryption = body[binary.BigEndian.Uint16(option[1:])]
			}
		}
		assert.Equal(t, byte(2), encryption, "ENCRYPT_NOT_SUP")
	}
}
