package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/audit"
	"github.com/connsec/connsec/report"
	"github.com/connsec/connsec/securl"
	"golang.org/x/term"
)

func securlHash() command {
	return command{
		name: "securl hash", endless: true,
		about: "hash passwords, one per line of standard input, as SQL Server does",
		setup: func(fs *flag.FlagSet, _ *common) func(context.Context, *call) error {
			method := fs.String("method", "md5", "`METHOD`: md5 (default), which Circle reads, or argon2id for systems of your own")
			collation := collationFlags(fs)
			nul := fs.Bool("0", false, "passwords, and hashes, end in a NUL byte instead of a line end")
			return func(ctx context.Context, c *call) error {
				if len(c.args) > 0 {
					return usagef("passwords come on standard input: arguments are visible to every user of the machine")
				}
				h, err := passwordHasher(*method, collation)
				if err != nil {
					return err
				}
				end := byte('\n')
				if *nul {
					end = 0
				}
				return c.hashAll(ctx, h, end)
			}
		},
	}
}

func passwordHasher(method string, collation func() (securl.Collation, error)) (securl.PasswordHasher, error) {
	col, err := collation()
	switch {
	case err != nil:
		return nil, err
	case method == "argon2id" && col.IsZero():
		return securl.Argon2id{}, nil
	case method == "argon2id":
		return nil, usagef("argon2id hashes UTF-8, and takes no collation")
	case method == "md5":
		return securl.Hasher{Collation: col}, nil
	case method == "none":
		return nil, usagef("the method none leaves passwords as they are: there is nothing to hash")
	}
	return nil, usagef("unknown --method; there is md5 and argon2id")
}

// hashAll hashes what comes in, one by one. Errors name the line, never what stands on it.
func (c *call) hashAll(ctx context.Context, h securl.PasswordHasher, end byte) error {
	if fd, is := keyboard(c.in); is {
		password, err := c.typed(ctx, fd, "password")
		if err != nil {
			return err
		}
		hash, err := h.Hash(password)
		if err == nil {
			_, err = fmt.Fprintf(c.out, "%s%c", hash, end)
		}
		return err
	}
	in, out := passwordReader{r: bufio.NewReaderSize(c.in, maxPassword), end: end}, bufio.NewWriter(c.out)
	for {
		password, err := in.next()
		if err == nil {
			err = ctx.Err()
		}
		var hash string
		if err == nil {
			hash, err = h.Hash(password)
		}
		switch {
		case errors.Is(err, io.EOF):
			return out.Flush()
		case err != nil:
			// What was hashed before belongs to lines that the error does not count.
			if flushed := out.Flush(); flushed != nil {
				return flushed
			}
			return fmt.Errorf("%s %d: %w", in.unit(), in.n, unprefixed{err})
		}
		_, _ = out.WriteString(hash) // Flush returns the error
		_ = out.WriteByte(end)
		if in.r.Buffered() == 0 { // whoever writes may wait for the answer
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
}

// unprefixed is an error without the package's name in front, for the middle of a message.
type unprefixed struct{ error }

func (u unprefixed) Error() string { return oneLine(u.error) }
func (u unprefixed) Unwrap() error { return u.error }

// maxPassword bounds one password; SQL Server hashes 250 bytes of it.
const maxPassword = 64 << 10

// passwordReader cuts the input into passwords.
type passwordReader struct {
	r   *bufio.Reader
	end byte
	n   int // of the last password, from 1
}

func (p *passwordReader) unit() string {
	if p.end == 0 {
		return "password"
	}
	return "line"
}

// next returns the next password or io.EOF. In lines, a carriage return before the line end is
// part of it, and so is a byte order mark at the beginning of the text.
func (p *passwordReader) next() (string, error) {
	line, err := p.r.ReadSlice(p.end)
	if len(line) == 0 && errors.Is(err, io.EOF) {
		return "", io.EOF
	}
	p.n++
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", fmt.Errorf("longer than %d bytes: is this a list of passwords?", maxPassword)
	case err != nil && !errors.Is(err, io.EOF):
		return "", err
	}
	line = bytes.TrimSuffix(line, []byte{p.end})
	if p.end == 0 {
		return string(line), nil
	}
	if p.n == 1 {
		line = bytes.TrimPrefix(line, []byte("\ufeff"))
	}
	line = bytes.TrimSuffix(line, []byte{'\r'})
	if bytes.IndexByte(line, 0) >= 0 {
		return "", errors.New("a NUL byte: is the input in UTF-16, or are passwords separated by NUL (-0)?")
	}
	return string(line), nil
}

// keyboard reports whether someone types the input.
func keyboard(in io.Reader) (fd int, is bool) {
	if i, wrapped := in.(*input); wrapped {
		in = i.from
	}
	f, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	return int(f.Fd()), true
}

// typed reads a password, or what else what says, that is not shown.
func (c *call) typed(ctx context.Context, fd int, what string) (string, error) {
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(c.err, "%s: ", what)
	defer fmt.Fprintln(c.err)
	type answer struct {
		password []byte
		err      error
	}
	answers := make(chan answer, 1)
	// Nothing ends the read of a terminal: interrupted, it is left to the end of the process.
	go func() {
		password, err := term.ReadPassword(fd)
		answers <- answer{password, err}
	}()
	select {
	case a := <-answers:
		return string(a.password), a.err
	case <-ctx.Done():
		_ = term.Restore(fd, before)
		return "", ctx.Err()
	}
}

func securlVerify() command {
	return command{
		name: "securl verify", args: "[HASH]",
		about:  "does the column's value belong to a password? If not, say what it was made from. The password comes from standard input",
		shares: flagFormat,
		setup: func(fs *flag.FlagSet, _ *common) func(context.Context, *call) error {
			passwordFile := fs.String("password-file", "", "read the password from `FILE`")
			storedFile := fs.String("stored-file", "", "read the column's value from `FILE` instead of HASH")
			collation := collationFlags(fs)
			return func(ctx context.Context, c *call) error {
				if err := c.textOrJSON(); err != nil {
					return err
				}
				col, err := collation()
				if err != nil {
					return err
				}
				stored, err := c.stored(*storedFile)
				if err != nil {
					return err
				}
				password, err := c.password(ctx, *passwordFile)
				if err != nil {
					return err
				}
				return c.verify(col, password.Reveal(), stored.Reveal())
			}
		},
	}
}

// stored is the column's value. What is no hash may be a password, and those do not stand in
// arguments.
func (c *call) stored(file string) (connsec.Secret, error) {
	switch {
	case file != "" && len(c.args) == 0:
		return audit.ReadSecret(file)
	case file != "" || len(c.args) != 1:
		return connsec.Secret{}, usagef("give one HASH or --stored-file; the password comes from standard input or --password-file")
	case securl.FormatOf(c.args[0]) == securl.FormatPlain:
		return connsec.Secret{}, usagef("this is no hash: a value that may be a password goes into a file, see --stored-file")
	}
	return connsec.NewSecret(c.args[0]), nil
}

// password is one from a file, the keyboard or standard input.
func (c *call) password(ctx context.Context, file string) (connsec.Secret, error) {
	if file != "" {
		return audit.ReadSecret(file)
	}
	if fd, is := keyboard(c.in); is {
		s, err := c.typed(ctx, fd, "password")
		return connsec.NewSecret(s), err
	}
	in := passwordReader{r: bufio.NewReaderSize(c.in, maxPassword), end: '\n'}
	s, err := in.next()
	if err == nil {
		if _, more := in.next(); !errors.Is(more, io.EOF) {
			return connsec.Secret{}, usagef("standard input holds more than one line; give one password")
		}
	}
	if errors.Is(err, io.EOF) {
		return connsec.Secret{}, usagef("standard input is empty; give the password there, or with --password-file")
	}
	return connsec.NewSecret(s), err
}

// verification is the answer in JSON.
type verification struct {
	Match bool `json:"match"`
	// Reason why the answer is not known, or why the value cannot match.
	Reason    string            `json:"reason,omitempty"`
	Diagnosis *securl.Diagnosis `json:"diagnosis,omitempty"`
}

func (c *call) verify(col securl.Collation, password, stored string) error {
	var h securl.PasswordHasher = securl.Hasher{Collation: col}
	format := securl.FormatOf(stored)
	if format == securl.FormatArgon2 {
		h = securl.Argon2id{}
	}
	ok, err := h.Verify(password, stored)
	if errors.Is(err, securl.ErrNotUTF8) {
		return err
	}
	answer := verification{Match: ok}
	if err != nil {
		answer.Reason = oneLine(err)
	}
	if !ok && format != securl.FormatArgon2 { // whose salt leaves nothing to try
		d := securl.Diagnose(password, stored)
		answer.Diagnosis = &d
	}
	if c.common.format == report.JSON {
		if err := writeJSON(c.out, answer); err != nil {
			return err
		}
	} else {
		answer.write(c.out)
	}
	switch {
	case ok:
		return nil
	case errors.Is(err, securl.ErrCollationUnknown), errors.Is(err, securl.ErrNotHash) && !decided(format, answer.Diagnosis):
		return outcome(exitUnknown)
	}
	return outcome(exitFindings)
}

// decided reports whether a value that is no hash of Circle's was compared all the same. A
// bcrypt hash, say, may well be that of the password.
func decided(f securl.Format, d *securl.Diagnosis) bool {
	switch f {
	case securl.FormatPlain, securl.FormatHexMD5, securl.FormatSpacedMD5:
		return true
	}
	return d != nil && len(d.Matches) > 0
}

func (v verification) write(w io.Writer) {
	switch {
	case v.Match:
		fmt.Fprintln(w, "match")
		return
	case v.Reason != "":
		fmt.Fprintln(w, hang(0, v.Reason))
	default:
		fmt.Fprintln(w, "no match")
	}
	if v.Diagnosis != nil {
		for line := range strings.Lines(v.Diagnosis.String()) {
			fmt.Fprintf(w, "  %s\n", hang(2, line))
		}
	}
}
