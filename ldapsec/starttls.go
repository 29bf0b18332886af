package ldapsec

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/connsec/connsec/internal/ldapwire"
)

// startTLS opens a connection and sends a StartTLS request, with a search glued behind it or
// without. before reports that the glued request was answered ahead of the StartTLS request. The
// connection is nil unless the server agreed.
func (l *look) startTLS(ctx context.Context, glue bool) (conn net.Conn, res ldapwire.Result, before bool, err error) {
	if conn, err = l.c.dial(ctx, l.at); err != nil {
		return nil, res, false, err
	}
	step, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	stop := govern(step, conn)
	request := ldapwire.Extended(1, ldapwire.OIDStartTLS)
	if glue {
		request = append(request, ldapwire.Search(gluedID, "", ldapwire.ScopeBase, 1, 10)...)
	}
	if _, err = conn.Write(request); err == nil {
		res, before, err = readStartTLS(conn)
	}
	if !stop() && err == nil {
		err = context.DeadlineExceeded
	}
	if err != nil || res.Code != ldapwire.ResultSuccess {
		_ = conn.Close()
		return nil, res, before, err
	}
	return conn, res, before, nil
}

func readStartTLS(conn net.Conn) (res ldapwire.Result, before bool, err error) {
	for range maxStray {
		m, err := ldapwire.Read(conn, ldapwire.MaxMessage)
		if err != nil {
			return res, before, err
		}
		switch {
		case m.ID == gluedID:
			before = true
		case m.ID == 1 && m.Op == ldapwire.OpExtendedResponse:
			res, err = m.Result()
			return res, before, err
		case m.ID == 0: // RFC 4511, 4.4.1: the server says why it is about to close
			if res, err = m.Result(); err == nil {
				err = fmt.Errorf("the server ends the session: %s", describe(res))
			}
			return ldapwire.Result{}, before, err
		default:
			return res, before, fmt.Errorf("the server answers message %d where 1 was asked", m.ID)
		}
	}
	return res, before, errors.New("the server does not answer the StartTLS request")
}
