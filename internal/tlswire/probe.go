package tlswire

import (
	"context"
	"net"
	"time"
)

// Probe sends the hello over conn and reads the answer. It ends with the deadline or the
// cancellation of ctx, whose error it then returns. It does not close conn, which is of no use
// afterwards except to be closed.
//
// Other errors are those of [Hello.Marshal] and [ReadServerFlight]. The flight is valid next
// to an error too.
func Probe(ctx context.Context, conn net.Conn, hello Hello) (Flight, error) {
	message, err := hello.Marshal(nil)
	if err != nil {
		return Flight{}, err
	}
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		_ = conn.SetDeadline(time.Unix(1, 0)) // long past: wakes a blocked read or write
	})
	defer func() {
		if !stop() {
			<-interrupted
		}
	}()
	var flight Flight
	if _, err = conn.Write(message); err == nil {
		flight, err = ReadServerFlight(conn)
	}
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return flight, err
}
