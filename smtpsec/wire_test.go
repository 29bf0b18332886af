package smtpsec

import (
	"bytes"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// text is a connection from which a recorded answer is read.
type text struct {
	net.Conn
	r *bytes.Reader
}

func (t text) Read(p []byte) (int, error) { return t.r.Read(p) }

func read(s string) (*Reply, []string, error) {
	return newWire(text{r: bytes.NewReader([]byte(s))}).reply()
}

func TestReply(t *testing.T) {
	r, lines, err := read("250-mail.corp.example\r\n250-AUTH=LOGIN PLAIN\r\n250-auth plain XOAUTH2\r\n250-SIZE 1000\r\n250\r\n")
	require.NoError(t, err)
	assert.Equal(t, 250, r.Code)
	e := readExtensions(lines)
	assert.Equal(t, []string{"AUTH", "SIZE"}, e.Keywords)
	assert.Equal(t, []string{"LOGIN", "PLAIN", "XOAUTH2"}, e.Auth)
	for in, want := range map[string]string{
		"":                                  "EOF",
		"250-a\r\n":                         "unexpected EOF",
		"250":                               "unexpected EOF",
		"HTTP/1.1 400\r\n":                  "does not answer as SMTP",
		"* OK\r\n":                          "does not answer as SMTP",
		"250-a\r\n251 b\r\n":                "does not answer as SMTP",
		"2500 a\r\n":                        "does not answer as SMTP",
		"999 a\r\n":                         "does not answer as SMTP",
		"250 " + strings.Repeat("x", 5000):  "longer than",
		strings.Repeat("250-x\r\n", 10_000): "does not end",
	} {
		_, _, err := read(in)
		assert.ErrorContains(t, err, want, "%.20q", in)
	}
}

func FuzzReply(f *testing.F) {
	f.Add([]byte("220 mail.corp.example ESMTP\r\n"))
	f.Add([]byte("250-mail\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n"))
	f.Add([]byte("334 \r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, lines, err := read(string(data))
		if err != nil {
			assert.Nil(t, r)
			return
		}
		assert.True(t, r.Code >= 200 && r.Code <= 599)
		assert.LessOrEqual(t, len(r.Text), maxKept)
		assert.LessOrEqual(t, len(lines), maxReplyLines)
		assert.NotContains(t, r.String(), "\n")
		e := readExtensions(lines)
		assert.LessOrEqual(t, len(e.Auth), maxMechanisms)
		for _, k := range append(e.Keywords, e.Auth...) {
			assert.NotContains(t, k, "\n")
			assert.LessOrEqual(t, len(k), 70)
		}
		// A reply read again in canonical form is the same.
		var canon strings.Builder
		for i, l := range lines {
			sep := "-"
			if i == len(lines)-1 {
				sep = " "
			}
			canon.WriteString(string(data[:3]) + sep + l + "\r\n")
		}
		if again, lines2, err := read(canon.String()); err == nil {
			assert.Equal(t, r, again)
			assert.Equal(t, len(lines), len(lines2))
		}
	})
}

func FuzzRecord(f *testing.F) {
	f.Add("v=STSv1; id=1;")
	f.Add("v=TLSRPTv1;rua=mailto:a@b")
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := stsID([]string{s}); err == nil && id != "" {
			assert.LessOrEqual(t, len(id), 32)
			_, err = stsID([]string{s, s})
			assert.Error(t, err, "of two records none counts")
		}
		if to, err := reportTo([]string{s}); err == nil {
			for _, u := range to {
				assert.NotContains(t, u, "\n")
			}
		}
	})
}
