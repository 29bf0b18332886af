package sqlsec

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/tlscheck"
	"github.com/connsec/connsec/trap"
)

func BenchmarkParseDSNAndValidate(b *testing.B) {
	for _, tt := range []struct{ name, dsn string }{
		{"URL", "sqlserver://app:secret@db.corp.example:1433/prod?database=central&encrypt=true&tlsmin=1.2"},
		{"ADO", "Server=tcp:db.corp.example,1433;Database=central;User ID=app;Password=secret;Encrypt=true;TrustServerCertificate=false"},
		{"ODBC", "Driver={ODBC Driver 18 for SQL Server};Server=tcp:db.corp.example,1433;Database=central;UID=app;PWD={secret};Encrypt=strict"},
		{"JDBC", `jdbc:sqlserver://db.corp.example\prod:1433;databaseName=central;user=app;password={secret};encrypt=true`},
	} {
		b.Run(tt.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c, err := ParseDSN(tt.dsn, AnyDriver)
				if err != nil {
					b.Fatal(err)
				}
				if len(c.Validate().Findings) == 0 {
					b.Fatal("no findings")
				}
			}
		})
	}
}

// BenchmarkProbe reports the connections that one probe makes, beside its time on loopback.
func BenchmarkProbe(b *testing.B) {
	for _, c := range []trap.SQLConfig{{NoTDS8: true}, {}, {Posture: trap.SQLNotSupported}} {
		b.Run(fmt.Sprint(c.Posture, " tds8=", !c.NoTDS8), func(b *testing.B) {
			s := startTrap(b, c)
			setting := against(s)
			d := setting.Dialer.(*local)
			for b.Loop() {
				_, err := setting.Probe(b.Context())
				require.NoError(b, err)
			}
			b.ReportMetric(float64(d.dials.Load())/float64(b.N), "connections/op")
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	s := startTrap(b, trap.SQLConfig{})
	c := login(s)
	for b.Loop() {
		db, err := c.Open(b.Context())
		require.NoError(b, err)
		require.NoError(b, db.Close())
	}
}

// slow makes every dial and every answer take a fixed time, as a distant server does.
type slow struct {
	tlscheck.Dialer
	roundTrip time.Duration
}

func (d slow) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	time.Sleep(d.roundTrip)
	conn, err := d.Dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &slowConn{Conn: conn, roundTrip: d.roundTrip}, nil
}

type slowConn struct {
	net.Conn
	roundTrip time.Duration
	asked     atomic.Bool
}

func (c *slowConn) Write(b []byte) (int, error) {
	c.asked.Store(true)
	return c.Conn.Write(b)
}

func (c *slowConn) Read(b []byte) (int, error) {
	if c.asked.Swap(false) {
		time.Sleep(c.roundTrip)
	}
	return c.Conn.Read(b)
}

// BenchmarkProbeFarAway reports how many round trips a probe waits for, one after the other.
func BenchmarkProbeFarAway(b *testing.B) {
	const roundTrip = 50 * time.Millisecond
	for _, c := range []trap.SQLConfig{{NoTDS8: true}, {}} {
		b.Run(fmt.Sprint("tds8=", !c.NoTDS8), func(b *testing.B) {
			s := startTrap(b, c)
			setting := against(s)
			setting.Dialer = slow{setting.Dialer, roundTrip}
			for b.Loop() {
				_, err := setting.Probe(b.Context())
				require.NoError(b, err)
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(roundTrip), "roundtrips/op")
		})
	}
}
