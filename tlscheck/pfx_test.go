package tlscheck

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ccojocar/zxcvbn-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/connsec/connsec"
)

// fixturePassword opens those fixtures that have a good one; testdata/files/make.sh makes them.
const fixturePassword = "Xk9#mQ2vL7pRt4wZ"

func fixture(tb testing.TB, name string) []byte {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "files", name+".pfx.b64"))
	require.NoError(tb, err)
	data, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
	require.NoError(tb, err)
	return data
}

func (f PFXFacts) String() string {
	var parts []string
	for _, p := range f.Parts {
		parts = append(parts, fmt.Sprintf("%s=%s/%d", p.Holds, p.Algorithm, p.Iterations))
	}
	return strings.Join(parts, " ") + " mac=" + fmt.Sprintf("%s/%d", f.MAC, f.MACIterations)
}

// What the ASN.1 says, as openssl pkcs12 -info prints it too.
func TestPFXFacts(t *testing.T) {
	const aes = "encrypted contents=AES-256/2048 key=AES-256/2048 mac="
	for name, want := range map[string]struct {
		facts    string
		password string
		key      bool
		err      string
	}{
		"aes":        {aes + "HMAC-SHA-256/2048", fixturePassword, true, ""},
		"legacy":     {"encrypted contents=RC2-40/2048 key=3DES/2048 mac=HMAC-SHA-1/2048", fixturePassword, true, ""},
		"des3":       {"encrypted contents=3DES/2048 key=3DES/2048 mac=HMAC-SHA-1/2048", fixturePassword, true, ""},
		"sha1mac":    {aes + "HMAC-SHA-1/2048", fixturePassword, true, ""},
		"sha384mac":  {aes + "HMAC-SHA-384/2048", fixturePassword, true, ""},
		"nomac":      {"certificates=/0 key=AES-256/2048 mac=/0", fixturePassword, true, ""},
		"certonly":   {"encrypted contents=AES-256/2048 mac=HMAC-SHA-256/2048", fixturePassword, false, ""},
		"empty":      {aes + "HMAC-SHA-256/2048", "", true, ""},
		"changeit":   {aes + "HMAC-SHA-256/2048", "changeit", true, ""},
		"oneround":   {"encrypted contents=AES-256/1 key=AES-256/1 mac=HMAC-SHA-256/1", fixturePassword, true, ""},
		"plain":      {"certificates=/0 key=/0 mac=/0", "", true, ""},
		"clearkey":   {"encrypted contents=AES-256/2048 key=/0 mac=HMAC-SHA-256/2048", fixturePassword, true, ""},
		"pbes2-3des": {"encrypted contents=3DES/2048 key=3DES/2048 mac=HMAC-SHA-256/2048", fixturePassword, false, "its encryption (3DES) is not supported here"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := parsePFX(fixture(t, name))
			require.NoError(t, err)
			assert.Equal(t, want.facts, p.facts.String())
			c, err := p.open(want.password)
			if want.err != "" {
				require.EqualError(t, err, want.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, want.key, c.key != nil)
			require.Len(t, c.certs, 2)
			chain, err := os.ReadFile("testdata/files/chain.pem")
			require.NoError(t, err)
			certs, err := ParseCertificates(chain)
			require.NoError(t, err)
			assert.True(t, certs[0].Equal(c.certs[0]) && certs[1].Equal(c.certs[1]))
			if c.key != nil {
				facts, err := factsOf(c.key, "")
				require.NoError(t, err)
				assert.Equal(t, certs[0].RawSubjectPublicKeyInfo, facts.PublicKey)
			}
			if name != "plain" {
				_, err = p.open("wrong")
				assert.ErrorIs(t, err, errWrongPassword)
			}
		})
	}
}

func TestPFXModern2026(t *testing.T) {
	c, err := mustParsePFX(t, fixture(t, "aes")).open(fixturePassword)
	require.NoError(t, err)
	data, err := pkcs12.Modern2026.Encode(c.key, c.certs[0], c.certs[1:], "p")
	require.NoError(t, err)
	p := mustParsePFX(t, data)
	assert.Equal(t, "PBMAC1", p.facts.MAC)
	assert.Equal(t, 2048, p.facts.MACIterations)
	_, err = p.open("p")
	require.NoError(t, err)
	_, err = p.open("q")
	require.ErrorIs(t, err, errWrongPassword)
}

func mustParsePFX(tb testing.TB, data []byte) *pfxFile {
	tb.Helper()
	p, err := parsePFX(data)
	require.NoError(tb, err)
	return p
}

// Every prefix of a file is refused with one line, at the first look or when it is opened.
func TestTruncatedPFX(t *testing.T) {
	whole := fixture(t, "oneround")
	for n := range whole {
		_, err := parsePFX(whole[:n])
		require.ErrorIs(t, err, errNotPFX, "%d bytes", n)
	}
}

func TestPFXThatAsksForTooMuchWork(t *testing.T) {
	// HMAC-SHA-256 with 2^31-1 iterations, in a file that is otherwise as it should be.
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(3)
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addOID(b, oidData)
			b.AddASN1(explicit0, func(b *cryptobyte.Builder) { b.AddASN1OctetString([]byte{0x30, 0}) })
		})
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { addOID(b, "2.16.840.1.101.3.4.2.1") })
				b.AddASN1OctetString(make([]byte, 32))
			})
			b.AddASN1OctetString(make([]byte, 8))
			b.AddASN1Int64(1<<31 - 1)
		})
	})
	_, err := mustParsePFX(t, b.BytesOrPanic()).open("x")
	require.ErrorIs(t, err, errTooMuchWork)
}

// encryptedPart is a ContentInfo of EncryptedData with the given SafeContents, under PBES2 with
// one iteration.
func encryptedPart(t *testing.T, password string, safeContents []byte) []byte {
	t.Helper()
	salt, iv := []byte("some salt"), make([]byte, aes.BlockSize)
	key, err := pbkdf2.Key(sha256.New, password, salt, 1, 32)
	require.NoError(t, err)
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	padding := aes.BlockSize - len(safeContents)%aes.BlockSize
	text := append(slices.Clone(safeContents), bytes.Repeat([]byte{byte(padding)}, padding)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(text, text)
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addOID(b, oidEncryptedData)
		b.AddASN1(explicit0, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1Int64(0)
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					addOID(b, oidData)
					addPBES2(b, salt, iv, 1)
					b.AddASN1(asn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(text) })
				})
			})
		})
	})
	return b.BytesOrPanic()
}

func addPBES2(b *cryptobyte.Builder, salt, iv []byte, iterations int64) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addOID(b, oidPBES2)
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				addOID(b, oidPBKDF2)
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1OctetString(salt)
					b.AddASN1Int64(iterations)
					addHMACSHA256(b)
				})
			})
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				addOID(b, "2.16.840.1.101.3.4.1.42")
				b.AddASN1OctetString(iv)
			})
		})
	})
}

// TestPFXThatHidesAKeyDerivation: behind the encryption of a part stands a key that is encrypted
// again, with as many iterations as the one who made the file likes: opening it would not end.
func TestPFXThatHidesAKeyDerivation(t *testing.T) {
	standIn, err := newStandIn()
	require.NoError(t, err)
	bomb, err := makeBag(oidShroudedBag, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addPBES2(b, []byte("some salt"), make([]byte, aes.BlockSize), 1<<50)
			b.AddASN1OctetString(make([]byte, 2*aes.BlockSize))
		})
	})
	require.NoError(t, err)
	for _, password := range []string{fixturePassword, ""} {
		for name, bags := range map[string][][]byte{"first": {bomb}, "behind a certificate": {standIn.certBag, bomb}, "twice": {bomb, bomb}} {
			b := cryptobyte.NewBuilder(nil)
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, bag := range bags {
					b.AddBytes(bag)
				}
			})
			part := encryptedPart(t, password, b.BytesOrPanic())
			data, err := wrapPFX(password, part, [][]byte{standIn.certBag})
			require.NoError(t, err)
			p := mustParsePFX(t, data)
			assert.Less(t, p.work, int64(100), "nothing of it can be counted")
			_, err = p.open(password)
			assert.ErrorIs(t, err, errHiddenKey, name)
			if password != "" {
				_, err = p.open("wrong")
				assert.ErrorIs(t, err, errWrongPassword, name)
			}
			p.macKnown, p.facts.MAC = false, "" // as if it had none
			_, err = p.open(password)
			assert.ErrorIs(t, err, errHiddenKey, name)
		}
	}
	// What is refused is the key, not the part.
	certificates := cryptobyte.NewBuilder(nil)
	certificates.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(standIn.certBag) })
	data, err := wrapPFX(fixturePassword, encryptedPart(t, fixturePassword, certificates.BytesOrPanic()), [][]byte{standIn.keyBag})
	require.NoError(t, err)
	c, err := mustParsePFX(t, data).open(fixturePassword)
	require.NoError(t, err)
	assert.NotNil(t, c.key)
	assert.Len(t, c.certs, 1)
}

func TestPFXInBER(t *testing.T) {
	for _, head := range []string{"\x30\x80\x02\x01\x03\x30\x80", "\x30\x22\x02\x01\x03\x30\x1d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01\xa0\x10\x24\x80\x04\x08........\x00\x00"} {
		data := append([]byte(head), 0, 0, 0, 0)
		_, err := parsePFX(data)
		assert.ErrorIs(t, err, errBER, "%q", head)
		assert.Equal(t, FilePFX, Classify(data))
	}
}

func TestPasswordStrengthWithoutDictionary(t *testing.T) {
	guesses := FileSet{Name: "central.corp.acme.com"}.guesses()
	for password, want := range map[string]PasswordStrength{
		"":                                 PasswordWeak,
		"Xk9#mQ2v":                         PasswordWeak, // too short, however random
		"P@ssw0rd":                         PasswordWeak,
		"P@ssw0rdP@ssw0rdP@ssw0rd":         PasswordWeak,
		"MyQRadius2024!":                   PasswordWeak,
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": PasswordWeak,
		"abcdefghijklmnopqrstuvwxyz":       PasswordWeak,
		"12345678901234567890":             PasswordWeak,
		"abababababababababababab":         PasswordWeak,
		"central.corp.acme.com2026!":       PasswordWeak,
		"sunshine-butterfly":               PasswordUnclear,
		"sunshinebutterflygarden":          PasswordUnclear,
		fixturePassword:                    PasswordStrong,
		"4f9a1c07e2b85d36904e7fa1c3d8b265": PasswordStrong, // 128 random bits in hexadecimal
		"kN3vT8xQ2mW7bR5zLp":               PasswordStrong,
		"staple horse correct battery plumbing xylophone quartz": PasswordStrong,
	} {
		assert.Equal(t, want, plainStrength(password, guesses), password)
	}
}

// Against zxcvbn, which has dictionaries: what is called strong without one must not be easy
// for it, and what is random must not be called weak.
func TestPlainStrengthIsNotBolderThanZxcvbn(t *testing.T) {
	words := strings.Fields("summer winter paris berlin monkey dragon sunshine butterfly shadow master football baseball michael jordan hunter ranger buster thomas robert tigger soccer batman andrew charlie printer office company invoice january december monday friday secure network computer internet")
	ends := []string{"", "!", "1", "2026", "2026!", "#1", "123"}
	joins := []string{"", "-", "_", ".", "1", "!"}
	guesses := FileSet{}.guesses()
	strong, total := 0, 0
	rng := rand.New(rand.NewPCG(1, 2))
	title := func(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
	for range 2000 {
		var parts []string
		for range 1 + rng.IntN(3) {
			w := words[rng.IntN(len(words))]
			if rng.IntN(2) == 0 {
				w = title(w)
			}
			parts = append(parts, w)
		}
		password := strings.Join(parts, joins[rng.IntN(len(joins))]) + ends[rng.IntN(len(ends))]
		total++
		if plainStrength(password, guesses) == PasswordStrong {
			strong++
			if bits := zxcvbn.PasswordStrength(password, nil).Entropy; bits < 40 {
				t.Errorf("%q is called strong, but takes zxcvbn %.0f bits", password, bits)
			}
		}
	}
	t.Logf("%d of %d passwords made of words are called strong", strong, total)
	require.Less(t, strong, total/20)

	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	undecided := 0
	for range 1000 {
		password := make([]byte, 20)
		for i := range password {
			password[i] = alphabet[rng.IntN(len(alphabet))]
		}
		switch plainStrength(string(password), guesses) {
		case PasswordWeak:
			t.Errorf("%s is random, but called weak", password)
		case PasswordUnclear:
			undecided++
		}
	}
	t.Logf("%d of 1000 random passwords are undecided", undecided)
	require.Less(t, undecided, 200)
}

func TestStrengthIsAskedWithABoundedPassword(t *testing.T) {
	seen := ""
	s := FileSet{Strength: func(p string) float64 { seen = p; return strongBits }}
	assert.Equal(t, PasswordStrong, s.strengthOf(connsec.NewSecret(strings.Repeat("sunshine-butterfly ü", 10))))
	assert.LessOrEqual(t, len(seen), maxEstimated)
	s.Strength = func(string) float64 { return strongBits - 1 }
	assert.Equal(t, PasswordWeak, s.strengthOf(connsec.NewSecret(fixturePassword)))
}

func FuzzPFX(f *testing.F) {
	for _, name := range []string{"aes", "legacy", "certonly", "nomac", "plain", "oneround", "clearkey"} {
		f.Add(fixture(f, name), fixturePassword)
	}
	f.Fuzz(func(t *testing.T, data []byte, password string) {
		kind := Classify(data)
		p, err := parsePFX(data)
		if err != nil {
			return
		}
		require.Equal(t, FilePFX, kind)
		if p.work > 20_000 {
			return
		}
		c, err := p.open(password)
		key, leaf, others, direct := pkcs12.DecodeChain(data, password)
		if direct == nil {
			require.NoError(t, err)
			require.Equal(t, key, any(c.key))
			require.Len(t, c.certs, 1+len(others))
			require.True(t, leaf.Equal(c.certs[0]))
		}
		if err != nil {
			require.Nil(t, c.key)
			require.NotContains(t, err.Error(), "\n")
		}
	})
}

func FuzzReadFiles(f *testing.F) {
	for _, name := range []string{"aes", "oneround"} {
		f.Add(fixture(f, name))
	}
	chain, err := os.ReadFile("testdata/files/chain.pem")
	require.NoError(f, err)
	f.Add(chain)
	c, err := mustParsePFX(f, fixture(f, "oneround")).open(fixturePassword)
	require.NoError(f, err)
	key, err := keyPEM(c.key)
	require.NoError(f, err)
	f.Add(key)
	f.Add(append(key, chain...))
	f.Add([]byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00112233445566778899AABBCCDDEEFF\n\nAAAAAAAAAAAAAAAAAAAAAA==\n-----END RSA PRIVATE KEY-----\n"))
	f.Add([]byte("\x30\x80\x02\x01\x03\x30\x80"))
	f.Fuzz(func(t *testing.T, data []byte) {
		kind := Classify(data)
		certs, problem := readCertificates(data)
		require.Equal(t, len(certs) == 0, problem.Kind != "")
		if len(certs) > 0 {
			require.Contains(t, []FileKind{FileCertificates, FileKey}, kind)
		}
		facts, problem := readKey(data, connsec.Secret{})
		if problem.Kind == "" {
			require.Equal(t, FileKey, kind)
			require.NotEmpty(t, facts.PublicKey)
			require.NotEmpty(t, facts.Algorithm)
		} else {
			require.NotContains(t, problem.Text, "\n")
		}
		if problem.Kind == FileLocked {
			require.NotEmpty(t, facts.Encryption)
		}
	})
}

func BenchmarkOpenPFX(b *testing.B) {
	p := mustParsePFX(b, fixture(b, "aes"))
	for b.Loop() {
		if _, err := p.open(fixturePassword); err != nil {
			b.Fatal(err)
		}
	}
}
