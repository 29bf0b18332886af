package bench

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/connsec/connsec/internal/realsrv"
)

// treeSize is how much there is to look through.
const treeSize = 1 << 30

// BenchmarkSecrets looks for secrets in a tree that has none of them: 1 GB of logs, program
// text, JSON, base64, UTF-16 and what cannot be compressed, in files of 1 KB to 4 MB. grep and
// rg look for the secrets as they are; connsec looks for all their encodings, and in archives,
// of which there are none here. The tree is in memory, since each run but the first reads it
// again.
func BenchmarkSecrets(b *testing.B) {
	program := connsec(b)
	dir := b.TempDir()
	r := rand.New(rand.NewPCG(1, 2))
	size := plantTree(b, r, dir)
	for _, n := range []int{1, 10, 100} {
		keys := b.TempDir()
		args := []string{"secret", "find", dir}
		var list strings.Builder
		for i := range n {
			secret := randomHex(r, 40)
			name := filepath.Join(keys, strconv.Itoa(i))
			if err := os.WriteFile(name, []byte(secret), 0o600); err != nil {
				b.Fatal(err)
			}
			args = append(args, "--secret", "s"+strconv.Itoa(i)+"="+name)
			list.WriteString(secret + "\n")
		}
		file := filepath.Join(keys, "list")
		if err := os.WriteFile(file, []byte(list.String()), 0o600); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("%d secrets", n), func(b *testing.B) {
			for _, p := range []struct {
				peer
				none int // the status that says that nothing was found
			}{
				{peer{"connsec", program, args}, 0},
				{peer{"connsec on one core", program, args}, 0},
				{peer{"grep", "grep", []string{"-r", "-F", "-f", file, dir}}, 1},
				{peer{"rg", "rg", []string{"-uuu", "-F", "-f", file, dir}}, 1},
				{peer{"rg on one core", "rg", []string{"-j1", "-uuu", "-F", "-f", file, dir}}, 1},
			} {
				b.Run(p.name, func(b *testing.B) {
					path := p.program
					if !filepath.IsAbs(path) {
						path = realsrv.Need(b, path)
					}
					b.SetBytes(size)
					var cpu time.Duration // which other work on the machine changes less than the time
					for b.Loop() {
						cmd := exec.Command(path, p.args...)
						cmd.Env = append(os.Environ(), "LC_ALL=C") // in which grep is fastest
						if strings.HasSuffix(p.name, "one core") {
							cmd.Env = append(cmd.Env, "GOMAXPROCS=1")
						}
						if out, _ := cmd.CombinedOutput(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != p.none {
							b.Fatalf("%s: %s", cmd.ProcessState, out)
						}
						cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
					}
					b.ReportMetric(float64(cpu.Milliseconds())/float64(b.N), "cpu-ms/op")
				})
			}
		})
	}
}

func randomHex(r *rand.Rand, n int) string {
	s := make([]byte, n/2)
	for i := range s {
		s[i] = byte(r.Uint32())
	}
	return hex.EncodeToString(s)
}

// plantTree writes the tree and returns its size. It is the same each time.
func plantTree(b *testing.B, r *rand.Rand, dir string) int64 {
	b.Helper()
	words := make([]string, 5000)
	for i := range words {
		w := make([]byte, 2+r.IntN(10))
		for j := range w {
			w[j] = "etaoinshrdlucmfwypvbgkqjxz"[min(r.IntN(26), r.IntN(26))]
		}
		words[i] = string(w)
	}
	word := func() string { return words[min(r.IntN(len(words)), r.IntN(len(words)))] }
	kinds := []func(*strings.Builder){
		func(s *strings.Builder) { // a log
			fmt.Fprintf(s, "2026-03-%02d %02d:%02d:%02d.%03d %-5s [%s] %s %s: GET /%s/%s?%s=%d%%20%s %d\n", 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60), r.IntN(1000),
				[]string{"INFO", "WARN", "DEBUG"}[r.IntN(3)], word(), word(), word(), word(), word(), word(), r.IntN(1e5), word(), 200+r.IntN(300))
		},
		func(s *strings.Builder) { // a program
			fmt.Fprintf(s, "\tif %s.%s(%q) != nil && %s[%d] == 0x%x {\n\t\treturn %s(%s, \"%s %s\\n\")\n\t}\n", word(), word(), word(), word(), r.IntN(100), r.IntN(1e6), word(), word(), word(), word())
		},
		func(s *strings.Builder) { // JSON
			data, _ := json.Marshal(map[string]any{word(): word() + "<é>" + word(), word(): r.IntN(1e9), "id": randomHex(r, 32), word(): []string{word(), word()}})
			s.Write(append(data, '\n'))
		},
		func(s *strings.Builder) { // base64, as in certificates
			data := make([]byte, 48)
			for i := range data {
				data[i] = byte(r.Uint32())
			}
			s.WriteString(base64.StdEncoding.EncodeToString(data) + "\n")
		},
		func(s *strings.Builder) { // UTF-16, as Windows writes
			for _, c := range utf16.Encode([]rune(word() + " = " + word() + "; " + word() + "\r\n")) {
				s.Write([]byte{byte(c), byte(c >> 8)})
			}
		},
		func(s *strings.Builder) { // what cannot be compressed
			var data [4096]byte
			for i := 0; i < len(data); i += 8 {
				v := r.Uint64()
				for j := range 8 {
					data[i+j] = byte(v >> (8 * j))
				}
			}
			s.Write(data[:])
		},
	}
	share := []int{0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 3, 4, 5, 5}
	total := int64(0)
	for i := 0; total < treeSize; i++ {
		var s strings.Builder
		kind := kinds[share[r.IntN(len(share))]]
		for want := 1 << (10 + min(r.IntN(13), r.IntN(13))); s.Len() < want; {
			kind(&s)
		}
		name := filepath.Join(dir, words[i/200], words[i/10], strconv.Itoa(i)) // ten files in a folder
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(s.String()), 0o600); err != nil {
			b.Fatal(err)
		}
		total += int64(s.Len())
	}
	return total
}
