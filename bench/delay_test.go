package bench

import (
	"io"
	"net"
	"testing"
	"time"
)

// distant puts a server at a distance: a forwarder on loopback that holds back each direction
// for half the round trip. Connecting is not delayed, so a peer saves one round trip per
// connection against a real network; that favours tools that open many.
func distant(tb testing.TB, addr string, roundTrip time.Duration) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				out, err := net.Dial("tcp", addr)
				if err != nil {
					_ = in.Close()
					return
				}
				go hold(out, in, roundTrip/2)
				hold(in, out, roundTrip/2)
			}()
		}
	}()
	return l.Addr().String()
}

// hold copies with a delay, keeping the pace: what comes together arrives together.
func hold(dst, src net.Conn, delay time.Duration) {
	type chunk struct {
		due  time.Time
		data []byte
	}
	queue := make(chan chunk, 1024)
	go func() {
		defer close(queue)
		for {
			buf := make([]byte, 32<<10)
			n, err := src.Read(buf)
			if n > 0 {
				queue <- chunk{time.Now().Add(delay), buf[:n]}
			}
			if err != nil {
				queue <- chunk{time.Now().Add(delay), nil}
				return
			}
		}
	}()
	for c := range queue {
		time.Sleep(time.Until(c.due))
		if c.data == nil {
			break
		}
		if _, err := dst.Write(c.data); err != nil {
			break
		}
	}
	if t, ok := dst.(*net.TCPConn); ok {
		_ = t.CloseWrite()
	}
	_, _ = io.Copy(io.Discard, src)
	_ = dst.Close()
	_ = src.Close()
	for range queue { // lets the reader end
	}
}
