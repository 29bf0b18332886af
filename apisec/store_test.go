package apisec_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// draining is the state in which most is at stake: two secrets, no label left out.
func draining(tb testing.TB) (*world, []byte) {
	w := newWorld()
	_, err := w.rotation().Start(context.Background(), w.active)
	require.NoError(tb, err)
	_, err = w.rotation().Continue(context.Background())
	require.NoError(tb, err)
	data, err := w.store.Load(context.Background())
	require.NoError(tb, err)
	return w, data
}

func TestFileStore(t *testing.T) {
	_, data := draining(t)
	path := filepath.Join(t.TempDir(), "state")
	s := apisec.FileStore{Path: path}
	none, err := s.Load(t.Context())
	require.NoError(t, err)
	assert.Nil(t, none)
	require.NoError(t, s.Swap(t.Context(), nil, data))
	got, err := s.Load(t.Context())
	require.NoError(t, err)
	assert.Equal(t, data, got)
	require.ErrorIs(t, s.Swap(t.Context(), nil, data), apisec.ErrConflict)
	require.ErrorIs(t, s.Swap(t.Context(), data[1:], data), apisec.ErrConflict)
	require.NoError(t, s.Swap(t.Context(), data, []byte("another")))

	unlock, err := s.Lock(t.Context())
	require.NoError(t, err)
	_, err = s.Lock(t.Context())
	require.ErrorIs(t, err, apisec.ErrLocked)
	unlock()
	unlock, err = s.Lock(t.Context())
	require.NoError(t, err)
	unlock()
	if runtime.GOOS != "windows" {
		for _, name := range []string{path, path + ".lock"} {
			info, err := os.Stat(name)
			require.NoError(t, err)
			assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		}
	}
}

func TestFileStoreRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	s := apisec.FileStore{Path: path}
	require.NoError(t, s.Swap(t.Context(), nil, []byte("x")))
	if runtime.GOOS != "windows" {
		for mode, who := range map[os.FileMode]string{0o644: "everybody on this machine", 0o640: "the file's group", 0o602: "everybody"} {
			require.NoError(t, os.Chmod(path, mode))
			_, err := s.Load(t.Context())
			require.ErrorContains(t, err, path+" may be read or changed by "+who)
			require.ErrorContains(t, s.Swap(t.Context(), []byte("x"), []byte("y")), "chmod 600")
		}
		require.NoError(t, os.Chmod(path, 0o600))
		open := filepath.Join(dir, "open")
		require.NoError(t, os.Mkdir(open, 0o700))
		require.NoError(t, os.Chmod(open, 0o1777))
		_, err := apisec.FileStore{Path: filepath.Join(open, "state")}.Lock(t.Context())
		require.ErrorContains(t, err, "everybody can put files into "+open)
		require.ErrorContains(t, apisec.FileStore{Path: filepath.Join(open, "state")}.Swap(t.Context(), nil, []byte("x")), "everybody can put files")

		link := filepath.Join(dir, "link")
		require.NoError(t, os.Symlink(path, link))
		require.ErrorContains(t, apisec.FileStore{Path: link}.Swap(t.Context(), []byte("x"), []byte("y")), "not a regular file")
		// A link that waits where the new file will be is not followed.
		require.NoError(t, os.Symlink(filepath.Join(dir, "victim"), path+".new"))
		require.NoError(t, s.Swap(t.Context(), []byte("x"), []byte("y")))
		assert.NoFileExists(t, filepath.Join(dir, "victim"))
	}
	_, err := apisec.FileStore{Path: dir}.Load(t.Context())
	require.ErrorContains(t, err, "not a regular file")
	_, err = apisec.FileStore{Path: filepath.Join(dir, "none", "state")}.Lock(t.Context())
	require.ErrorContains(t, err, "no such file or directory")
	_, err = apisec.FileStore{}.Lock(t.Context())
	require.ErrorContains(t, err, "no name")
	require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte("x"), 1<<19), 0o600))
	_, err = s.Load(t.Context())
	require.ErrorContains(t, err, "larger than")
}

// Whatever a crash leaves of a new state, the old one is there.
func TestTornWrites(t *testing.T) {
	t.Parallel()
	_, data := draining(t)
	path := filepath.Join(t.TempDir(), "state")
	s := apisec.FileStore{Path: path}
	require.NoError(t, s.Swap(t.Context(), nil, data))
	for n := 0; n <= len(data); n += 7 {
		require.NoError(t, os.WriteFile(path+".new", data[:n], 0o600))
		got, err := s.Load(t.Context())
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, got))
	}
	for _, point := range []string{"create", "write", "sync", "rename", "sync directory"} {
		for _, kill := range []bool{false, true} {
			s := s.WithHook(func(at string) error {
				switch {
				case at != point:
					return nil
				case kill:
					panic(killed{})
				}
				return errInjected
			})
			func() {
				defer func() { _ = recover() }()
				require.ErrorIs(t, s.Swap(t.Context(), data, append(bytes.Clone(data), ' ')), errInjected)
			}()
			got, err := s.Load(t.Context())
			require.NoError(t, err)
			if point == "sync directory" { // it is in place, and may last
				require.Len(t, got, len(data)+1)
				require.NoError(t, apisec.FileStore{Path: path}.Swap(t.Context(), got, data))
				continue
			}
			require.Equal(t, data, got, point)
		}
	}
	// What was left with a secret in it goes with the next write.
	require.NoError(t, os.WriteFile(path+".new", data, 0o600))
	require.NoError(t, s.Swap(t.Context(), data, []byte("x")))
	assert.NoFileExists(t, path+".new")

}

// A file that lost its end, or a byte, is refused in one line and not written to.
func TestDamagedState(t *testing.T) {
	w, data := draining(t)
	path := filepath.Join(t.TempDir(), "state")
	r := w.rotation()
	r.Store = apisec.FileStore{Path: path}
	try := func(damaged []byte) error {
		require.NoError(t, os.WriteFile(path, damaged, 0o600))
		_, err := r.Continue(t.Context())
		require.Error(t, err)
		for _, c := range w.every {
			require.NotContains(t, err.Error(), c.Secret.Reveal())
		}
		require.NotContains(t, err.Error(), "\n")
		left, err2 := os.ReadFile(path)
		require.NoError(t, err2)
		require.True(t, bytes.Equal(damaged, left), "left as it was")
		return err
	}
	acts := len(w.trace)
	for n := range data {
		_, err := apisec.DecodeState(data[:n])
		require.ErrorContains(t, err, "is damaged", n)
		damaged := bytes.Clone(data)
		damaged[n] ^= 0x01
		_, err = apisec.DecodeState(damaged)
		require.Error(t, err)
		if n%100 == 0 {
			require.ErrorContains(t, try(data[:n]), "is damaged", n)
			_ = try(damaged)
		}
	}
	_ = try(append(bytes.Clone(data), '\n'))
	newer := bytes.Replace(data, []byte("connsec-rotation 1 "), []byte("connsec-rotation 2 "), 1)
	require.EqualError(t, try(newer), "apisec: the state of the rotation has format 2, and this version knows 1: use the version that wrote it, or a later one")
	require.EqualError(t, try([]byte("[client]\nsecret=hunter2\n")), "apisec: this is not the state of a rotation")
	require.Len(t, w.trace, acts, "nothing was done")
}

// sealed gives a body the head that fits.
func sealed(body string) []byte {
	return fmt.Appendf(nil, "connsec-rotation 1 %x\n%s", sha256.Sum256([]byte(body)), body)
}

// What fits its checksum and still makes no sense is refused, too.
func TestImpossibleStates(t *testing.T) {
	_, data := draining(t)
	_, body, _ := strings.Cut(string(data), "\n")
	for want, change := range map[string][2]string{
		"no such step":                 {`"draining"`, `"floating"`},
		"the old one is missing":       {`"draining"`, `"steady"`},
		"the next one is missing":      {`"draining"`, `"verifying"`},
		"unknown field":                {`"turns"`, `"twists"`},
		"the old one is the current":   {`"key_id": "key-1"`, `"key_id": "first"`},
		"a secret that belongs to not": {`"old": "` + strong, `"next": "` + strong},
		"the old one: it has no secre": {`"old": "` + strong + `"`, `"old": ""`},
		"is missing or impossible":     {`"clock": "2026`, `"clock": "1926`},
		"the policy's overlap":         {`"overlap_ns": 86400000000000`, `"overlap_ns": 0`},
		"control characters":           {`"name": "reports"`, `"name": "re\nports"`},
	} {
		if want == "no such step" {
			want = "unknown step"
		}
		changed := strings.Replace(body, change[0], change[1], 1)
		require.NotEqual(t, body, changed, want)
		_, err := apisec.DecodeState(sealed(changed))
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "is damaged")
		assert.NotContains(t, err.Error(), strong)
	}
}

func FuzzState(f *testing.F) {
	_, data := draining(f)
	_, body, _ := bytes.Cut(data, []byte("\n"))
	f.Add(body)
	f.Add(data)
	f.Add([]byte(`{"state":{"step":"steady"},"secrets":{}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		_, _ = apisec.DecodeState(body)
		s, err := apisec.DecodeState(sealed(string(body)))
		if err != nil {
			assert.LessOrEqual(t, len(err.Error()), 700)
			return
		}
		// What is read can be written, and is then read as the same.
		again, err := apisec.EncodeState(s)
		require.NoError(t, err)
		back, err := apisec.DecodeState(again)
		require.NoError(t, err)
		third, err := apisec.EncodeState(back)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(again, third))
		o := apisec.RotationObservation{State: s, At: today}
		o.Judge()
		o.Next()
	})
}

func TestFileDistributor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "client.json")
	d := apisec.FileDistributor{Path: path}
	first := apisec.Credential{ClientID: "a", Secret: connsec.NewSecret(`s"1<`)}
	second := apisec.Credential{ClientID: "b", Secret: connsec.NewSecret("s2")}
	for range 2 { // again changes nothing
		require.NoError(t, d.Activate(t.Context(), first))
		got, err := d.Read(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "a", got.ClientID)
		assert.True(t, got.Secret.Equal(first.Secret))
		require.NoError(t, d.Stage(t.Context(), second))
		assert.FileExists(t, path+".next")
		got, err = d.Read(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "a", got.ClientID, "staged is not in use")
	}
	before, err := os.Stat(path)
	require.NoError(t, err)
	require.NoError(t, d.Activate(t.Context(), first))
	after, err := os.Stat(path)
	require.NoError(t, err)
	assert.True(t, os.SameFile(before, after), "what is there is not written again")
	require.NoError(t, d.Stage(t.Context(), second))
	require.NoError(t, d.Discard(t.Context(), second))
	require.NoError(t, d.Discard(t.Context(), second))
	assert.NoFileExists(t, path+".next")
	require.NoError(t, d.Activate(t.Context(), second))
	got, err := d.Read(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "b", got.ClientID)
	if runtime.GOOS != "windows" {
		info, err := os.Stat(path)
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		require.NoError(t, os.Chmod(path, 0o644))
		_, err = d.Read(t.Context())
		require.ErrorContains(t, err, "may be read or changed by")
		require.NoError(t, d.Activate(t.Context(), second), "and is put right")
		_, err = d.Read(t.Context())
		require.NoError(t, err)
	}

	bare := apisec.FileDistributor{Path: path + ".txt", Format: apisec.BareFormat, ClientID: "a"}
	require.NoError(t, bare.Activate(t.Context(), first))
	text, err := os.ReadFile(bare.Path)
	require.NoError(t, err)
	assert.Equal(t, "s\"1<\n", string(text))
	got, err = bare.Read(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "a", got.ClientID)
	assert.True(t, got.Secret.Equal(first.Secret))
	require.ErrorContains(t, bare.Stage(t.Context(), second), `cannot tell its readers to be "b" now`)

	for _, text := range []string{"", "{", `{"client_id":"a"}`, `{"client_secret":"hunter2"}`} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := d.Read(t.Context())
		require.Error(t, err)
		assert.NotContains(t, err.Error(), "hunter2")
	}
}

// Killed in the middle of putting a secret in place, the old one is there or the new one.
func TestFileDistributorKilled(t *testing.T) {
	first := apisec.Credential{ClientID: "a", Secret: connsec.NewSecret("s1")}
	second := apisec.Credential{ClientID: "b", Secret: connsec.NewSecret("s2")}
	for _, point := range []string{"create", "write", "sync", "rename", "sync directory"} {
		d := apisec.FileDistributor{Path: filepath.Join(t.TempDir(), "client.json")}
		require.NoError(t, d.Activate(t.Context(), first))
		hooked := d.WithHook(func(at string) error {
			if at == point {
				return errInjected
			}
			return nil
		})
		require.ErrorIs(t, hooked.Activate(t.Context(), second), errInjected)
		got, err := d.Read(t.Context())
		require.NoError(t, err)
		assert.Contains(t, []string{"a", "b"}, got.ClientID)
		require.NoError(t, d.Activate(t.Context(), second))
		got, err = d.Read(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "b", got.ClientID)
		left, err := filepath.Glob(d.Path + "*")
		require.NoError(t, err)
		assert.Equal(t, []string{d.Path}, left)
	}
}

// No credential shows its secret, however it is printed.
func TestCredentialsDoNotPrint(t *testing.T) {
	c := apisec.Credential{ClientID: "a", KeyID: "1", Secret: connsec.NewSecret(strong)}
	h := apisec.Held{Credential: c}
	for _, v := range []any{c, &c, h, &h, apisec.RotationState{Current: h, Next: &h}, apisec.HandIssuer{Next: &c}, apisec.TokenVerifier{Client: client()}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			assert.NotContains(t, fmt.Sprintf(verb, v), strong)
		}
	}
	assert.Equal(t, "a (1)", c.String())
}

// BenchmarkTurn is one turn with its state and the clients' file on a disk, and a server that
// answers at once: what the rotation itself costs.
func BenchmarkTurn(b *testing.B) {
	dir := b.TempDir()
	saves := 0
	for n := 0; b.Loop(); n++ {
		w := newWorld()
		r := w.rotation()
		r.Store = apisec.FileStore{Path: filepath.Join(dir, fmt.Sprint("state", n))}.WithHook(func(at string) error {
			if at == "rename" {
				saves++
			}
			return nil
		})
		r.Distributor = apisec.FileDistributor{Path: filepath.Join(dir, "client.json")}
		_, err := r.Start(context.Background(), w.active)
		for range 2 {
			if err == nil {
				_, err = r.Continue(context.Background())
			}
			w.now = w.now.Add(24 * time.Hour)
		}
		if o, err2 := r.Observe(context.Background()); err != nil || err2 != nil || o.State.Turns != 1 {
			b.Fatal(err, err2)
		}
	}
	b.ReportMetric(float64(saves)/float64(b.N), "saves/op")
}
