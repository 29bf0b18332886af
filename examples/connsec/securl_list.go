package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"os"
	"strconv"
	"strings"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/report"
	"github.com/connsec/connsec/securl"
)

func securlClassify() command {
	return command{
		name: "securl classify", args: "FILE…", endless: true,
		about:  "judge the password column of recipient lists: plain, hashed, mixed, hashed twice (- reads standard input)",
		shares: reportFlags,
		setup: func(fs *flag.FlagSet, _ *common) func(context.Context, *call) error {
			list, collation := listFlags(fs), collationFlags(fs)
			id := fs.String("id", "", "`NAME` of the column with the recipient ID, which is no password")
			user := fs.String("user", "", "`NAME` of the column with the user name, which is none either")
			before := fs.String("before", "", "the list as it was before its passwords were hashed, in `FILE`: proves each hash, and judges what it was made from")
			width := fs.Int("width", 0, "`CHARACTERS` that the column holds in the database; -1 for max")
			return func(ctx context.Context, c *call) error {
				switch {
				case len(c.args) == 0:
					return usagef("which list?")
				case *before != "" && len(c.args) > 1:
					return usagef("--before is for one list")
				}
				l, err := list()
				if err != nil {
					return err
				}
				l.RecipientID, l.UserName = *id, *user
				o := securl.ClassifyOptions{Width: *width}
				if o.Collation, err = collation(); err != nil {
					return err
				}
				if *width < -1 {
					return usagef("--width is a number of characters, or -1")
				}
				if *before != "" {
					f, err := os.Open(*before)
					if err != nil {
						return err
					}
					defer f.Close()
					o.Before = named(l.Values(f), *before)
				}
				var reports []connsec.Report
				for _, file := range c.args {
					r, err := c.classify(ctx, file, l, o)
					if err != nil {
						return err
					}
					reports = append(reports, r)
				}
				return c.finish(reports)
			}
		},
	}
}

func (c *call) classify(ctx context.Context, file string, l securl.List, o securl.ClassifyOptions) (connsec.Report, error) {
	in, name := c.in, "standard input"
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return connsec.Report{}, err
		}
		defer f.Close()
		in, name = f, file
	}
	o.Subject = name + ": " + l.Column
	p := c.progress()
	o.Progress = func(values int64) { p.show(fmt.Sprintf("%d values  %s", values, name)) }
	facts, err := securl.Classify(ctx, named(l.Values(in), name), o)
	p.clear()
	if err != nil {
		return connsec.Report{}, err
	}
	return facts.Judge(), nil
}

// named puts the name of a list into the errors about it.
func named(values iter.Seq2[securl.Value, error], name string) iter.Seq2[securl.Value, error] {
	return func(yield func(securl.Value, error) bool) {
		for v, err := range values {
			var bad *securl.ListError
			if errors.As(err, &bad) {
				bad.Position.File = name
			}
			if !yield(v, err) {
				return
			}
		}
	}
}

func securlConvert() command {
	return command{
		name: "securl convert", args: "IN OUT", endless: true,
		about:  "write a recipient list anew with hashed passwords, and every other byte as it was",
		shares: flagFormat,
		setup: func(fs *flag.FlagSet, _ *common) func(context.Context, *call) error {
			list, collation := listFlags(fs), collationFlags(fs)
			var o securl.ConvertOptions
			fs.BoolVar(&o.KeepHashed, "keep-hashed", false, "leave rows that are hashed already; without, they are an error")
			rows := fs.String("rows", "", "hash these rows only, whatever they look like: `RANGES` such as 1-100,205 (1 follows the header)")
			fs.BoolVar(&o.HashEmpty, "hash-empty", false, "hash empty passwords too, as the T-SQL function does")
			fs.BoolVar(&o.Overwrite, "overwrite", false, "replace OUT")
			fs.IntVar(&o.Workers, "workers", 0, "hash in `N` threads (default one per processor)")
			return func(ctx context.Context, c *call) error {
				if err := c.textOrJSON(); err != nil {
					return err
				}
				if len(c.args) != 2 {
					return usagef("give two files, IN and OUT")
				}
				if c.args[0] == "-" || c.args[1] == "-" {
					return usagef("convert works on files only, so that half a list is never taken for a whole one")
				}
				var err error
				if o.List, err = list(); err != nil {
					return err
				}
				if o.Hasher.Collation, err = collation(); err != nil {
					return err
				}
				if *rows != "" {
					if o.Rows, err = parseRows(*rows); err != nil {
						return err
					}
				}
				return c.convert(ctx, o)
			}
		},
	}
}

func (c *call) convert(ctx context.Context, o securl.ConvertOptions) error {
	src, dst := c.args[0], c.args[1]
	p := c.progress()
	size := int64(0)
	if info, err := os.Stat(src); err == nil {
		size = max(info.Size(), 1)
	}
	o.Progress = func(r securl.ConvertResult) {
		p.show(fmt.Sprintf("%d%%  %d rows  %s", 100*r.Bytes/max(size, 1), r.Rows, src))
	}
	r, err := securl.ConvertFile(ctx, dst, src, o)
	p.clear()
	if err != nil {
		return err
	}
	if c.common.format == report.JSON {
		if err := writeJSON(c.out, r); err != nil {
			return err
		}
	} else {
		writeConverted(c.out, r)
	}
	c.note("%s still holds the passwords: securl classify %s --before %[1]s checks the hashes with them; delete it, and its copies, when the new list has been imported", src, dst)
	return nil
}

func writeConverted(w io.Writer, r securl.ConvertResult) {
	fmt.Fprintf(w, "%d rows: %s\n", r.Rows, counted(
		count{r.Hashed, "hashed"}, count{r.Kept, "kept"}, count{r.Empty, "empty and left so"}, count{r.Null, "NULL"}))
	if r.Lossy > 0 {
		fmt.Fprintf(w, "%d passwords have characters that the collation lacks, and were hashed as SQL Server\nwould have: others may now sign in with a similar one\n", r.Lossy)
	}
	if r.TooLong > 0 {
		fmt.Fprintf(w, "%d passwords are longer than %d bytes; only that much of them counts\n", r.TooLong, securl.MaxBytes)
	}
}

// parseRows reads "1-100,205,300-": an open range ends with the list.
func parseRows(s string) (func(int64) bool, error) {
	type span struct{ from, to int64 }
	var spans []span
	for part := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		from, err := strconv.ParseInt(first, 10, 64)
		to := from
		if isRange && err == nil {
			to = 1<<63 - 1
			if last != "" {
				to, err = strconv.ParseInt(last, 10, 64)
			}
		}
		if err != nil || from < 1 || to < from {
			return nil, usagef("--rows takes ranges such as 1-100,205")
		}
		spans = append(spans, span{from, to})
	}
	return func(row int64) bool {
		for _, s := range spans {
			if s.from <= row && row <= s.to {
				return true
			}
		}
		return false
	}, nil
}
