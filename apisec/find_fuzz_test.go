package apisec_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"testing"
	"testing/fstest"

	"github.com/connsec/connsec/apisec"
)

// FuzzFind reads any bytes as a file. Whatever they are, the secret is found where it stands as
// it is, nothing is found beyond the end, and no value is in the result. In front of an archive
// it is found, too, and behind other text in several encodings.
func FuzzFind(f *testing.F) {
	for _, seed := range []string{
		"", planted, "x\r\n" + planted[:20] + "\\\n" + planted[20:], "-----BEGIN RSA PRIVATE KEY-----\nMIIE", "\\u0033f", "%33%66", "&#x33;&amp;#51;", "3\x00f\x008\x00",
		"Server=a;Password=b;", "https://a:bcdef@c", "client_secret=" + planted, "gitdir: x", "\x1f\x8b\x08\x00", "PK\x03\x04", "PK\x05\x06\x00", "BZh91AY&SY",
		gzipped(f, planted), tarred(f, map[string]string{"x": planted}), zipped(f, map[string]string{"x": planted}), gzipped(f, tarred(f, map[string]string{"x": zipped(f, map[string]string{"y": "z"})})),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		files := fstest.MapFS{
			"a": {Data: data}, ".git": {Data: data},
			"b/objects/00/0": {Data: data}, "b/config": {Data: data},
			"raw":    {Data: append(append([]byte{'.'}, data...), "\n"+planted...)},
			"base64": {Data: append(append([]byte{'.'}, data...), "\n"+base64.StdEncoding.EncodeToString([]byte("x"+planted))...)},
			"url":    {Data: append(append([]byte{'.'}, data...), "\n"+url.QueryEscape(planted)...)},
		}
		e, err := apisec.Finder{FS: files, Secrets: central, Patterns: true, MaxExpanded: 1 << 20, MaxNested: 1 << 20, Workers: 1}.Find(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]bool{}
		for _, h := range e.Hits {
			if h.Member == "" && !h.InName && (h.Offset < 0 || h.Offset >= int64(len(files[h.Path].Data))) {
				t.Fatalf("%+v is not in %d bytes", h, len(files[h.Path].Data))
			}
			found[h.Path] = found[h.Path] || h.Secret != ""
		}
		for _, name := range []string{"raw", "base64", "url"} {
			if !found[name] {
				t.Fatalf("%s was not found", name)
			}
		}
		if bytes.Contains(data, []byte(planted)) && !found["a"] {
			t.Fatal("it stands there as it is")
		}
		text, err := json.Marshal([]any{e, e.Judge().Findings})
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte(planted)) {
			t.Fatal("the value is in the result")
		}
	})
}
