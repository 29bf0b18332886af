package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/tlscheck"
)

func nameCommand() command {
	return command{
		name: "name", args: "HOST…", about: "judge host names as they stand in settings (- reads them from standard input)",
		shares: reportFlags,
		setup: func(*flag.FlagSet, *common) func(context.Context, *call) error {
			return func(_ context.Context, c *call) error {
				if len(c.args) == 0 {
					return usagef("which name?")
				}
				var reports []connsec.Report
				for _, arg := range c.args {
					if arg != "-" {
						reports = append(reports, tlscheck.CheckName(arg))
						continue
					}
					lines := bufio.NewScanner(c.in)
					n := 0
					for lines.Scan() {
						n++
						name := lines.Text()
						if n == 1 {
							name = strings.TrimPrefix(name, "\ufeff") // a byte order mark, which editors add
						}
						if name != "" {
							reports = append(reports, tlscheck.CheckName(name))
						}
					}
					if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
						return fmt.Errorf("standard input:%d:1: the line is longer than %d bytes, which is no host name", n+1, bufio.MaxScanTokenSize)
					} else if err != nil {
						return err
					}
				}
				if len(reports) == 0 {
					return usagef("no name was read from standard input")
				}
				for i := range reports { // judging a name is instant and offline, so it carries no time of its own
					reports[i].At = time.Now()
				}
				return c.finish(reports)
			}
		},
	}
}
