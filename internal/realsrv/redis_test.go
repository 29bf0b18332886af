package realsrv_test

import (
	"bufio"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/internal/realsrv"
)

func TestRedis(t *testing.T) {
	srv := realsrv.Redis{}.Start(t)
	conn, err := net.DialTimeout("tcp", srv.Addr, 10*time.Second)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	lines := bufio.NewScanner(conn)
	ask := func(command string) string {
		_, err := fmt.Fprintf(conn, "%s\r\n", command)
		require.NoError(t, err)
		require.True(t, lines.Scan())
		return lines.Text()
	}
	assert.Contains(t, ask("PING"), "-NOAUTH")
	assert.Equal(t, "+OK", ask("AUTH "+srv.Password.Reveal()))
	assert.Equal(t, "+PONG", ask("PING"))
	assert.NotContains(t, srv.Log(), srv.Password.Reveal())
}
