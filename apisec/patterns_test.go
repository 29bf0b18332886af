package apisec_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/apisec"
)

const body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\nMzEfYyjiWA4R4/M2bS1GB4t7NXp98C3SC6dVMvDuictGeurT8jNbvJZHtCSuYEvu\n"

func TestPatterns(t *testing.T) {
	const value = "91cf03aa7d5e28b4910cfd3ea7628b5ec41f09d2"
	pem := "-----BEGIN PRIVATE KEY-----\n" + body + "-----END PRIVATE KEY-----\n"
	tests := []struct {
		text string
		want string // the pattern, or ""
		mark string // where it is
	}{
		{`{"grant_type":"client_credentials","client_id":"7","client_secret":"` + value + `"}`, "client secret", value},
		{"CLIENT_SECRET=" + value, "client secret", value},
		{"clientSecret: '" + value + "'", "client secret", value},
		{"$clientSecret = \"" + value + "\"", "client secret", value},
		{"central.exe --client-secret " + value, "client secret", value},
		{"<ClientSecret>" + value + "</ClientSecret>", "client secret", value},
		{`<add key="ClientSecret" value="` + value + `" />`, "client secret", value},
		{`"{\"client_secret\":\"` + value + `\"}"`, "client secret", value},
		{"client_id=7&client_secret=" + value + "&grant_type=client_credentials", "client secret", value},
		{"api_secret = Zk39-fXo_2kd8WmQ1p", "client secret", "Zk39-fXo_2kd8WmQ1p"},
		{"commit " + value, "", ""},
		{"sha1 of client: " + value, "", ""},
		{"client_secret = os.Getenv(\"CLIENT_SECRET_42_NAME\")", "", ""},
		{"client_secret: ${CLIENT_SECRET_FOR_42}", "", ""},
		{"client_secret = cfg.ClientSecret2ForTheApi", "", ""},
		{"client_secret: your-client-secret-here-1", "", ""},
		{"client_secret: 0000000000000000000000000000000000000001", "", ""},
		{"client_secret=short1", "", ""},

		{pem, "private key", "-----BEGIN"},
		{strings.ReplaceAll(pem, "PRIVATE", "RSA PRIVATE"), "private key", "-----BEGIN"},
		{`{"private_key": "` + strings.ReplaceAll(pem, "\n", `\n`) + `"}`, "private key", "-----BEGIN"},
		{"    " + strings.ReplaceAll(pem, "\n", "\r\n    "), "private key", "-----BEGIN"},
		{strings.ReplaceAll(pem, "PRIVATE", "ENCRYPTED PRIVATE"), "", ""},
		{strings.ReplaceAll(strings.ReplaceAll(pem, "PRIVATE", "RSA PRIVATE"), "MII", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES\n\nMII"), "", ""},
		{strings.ReplaceAll(pem, "PRIVATE", "PUBLIC"), "", ""},
		{"-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----", "", ""},
		{"if strings.Contains(s, \"-----BEGIN PRIVATE KEY-----\") { return true }", "", ""},

		{"x = abc8Q~" + "kd93jf02mfk30sk2mf9s_aQ1zX7.vB2-n", "Azure client secret", "abc8Q~"},
		{"x = abc8Q~" + "kd93jf02mfk30sk2mf9s", "", ""},

		{"Server=db1;Database=central;User Id=app;Password=Kd83,xkw;Encrypt=yes", "password in a connection string", "Kd83"},
		{`<add name="c" connectionString="Data Source=db1;Initial Catalog=c;uid=app;pwd=Kd83,xkw" />`, "password in a connection string", "Kd83"},
		{"Server=db1;Password='Kd83;xkw';", "password in a connection string", "Kd83"},
		{"Server=db1;Database=central;User Id=app;Password={0};", "", ""},
		{"Server=db1;Database=central;User Id=app;Password=$(DbPassword);", "", ""},
		{"Server=db1;Integrated Security=true;", "", ""},
		{"Server=db1;Password=<your password>;", "", ""},
		{"Server=db1;User Id=sa;Password=YourPassword;", "", ""},
		{"password = Kd83,xkw", "", ""},

		{"sqlserver://app:Kd83,xkw@db1.corp.internal:1433?database=c", "password in a URL", "Kd83"},
		{"https://deploy:ghx_Kd83xkw@git.corp.internal/x.git", "password in a URL", "ghx_"},
		{"https://user:password@host/", "", ""},
		{"https://app:Kd83,xkw@www.example.com/", "", ""},
		{"https://app:${PASSWORD}@db1.corp.internal", "", ""},
		{"https://central.corp.internal:8093/x@y", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.text[:min(len(tt.text), 40)], func(t *testing.T) {
			for _, before := range []string{"", "first line\n"} {
				e := find(t, apisec.Finder{FS: fstest.MapFS{"f": file(before + tt.text)}, Patterns: true})
				if tt.want == "" {
					assert.Empty(t, e.Hits)
					continue
				}
				require.Len(t, e.Hits, 1)
				assert.Equal(t, tt.want, e.Hits[0].Pattern)
				assert.EqualValues(t, len(before)+strings.Index(tt.text, tt.mark), e.Hits[0].Offset)
			}
		})
	}
}

// TestPatternsAcrossChunks has one behind each of many lengths of other text.
func TestPatternsAcrossChunks(t *testing.T) {
	text := "client_secret=91cf03aa7d5e28b4910cfd3ea7628b5ec41f09d2\n"
	files := fstest.MapFS{}
	for i := range 70 {
		files[strings.Repeat("x", i+1)] = file(strings.Repeat("0123456\n", (128<<10)/8+512*4-i) + text + strings.Repeat("more\n", 5000))
	}
	e := find(t, apisec.Finder{FS: files, Patterns: true})
	assert.Len(t, e.Hits, len(files))
}
