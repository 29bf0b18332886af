package tlscheck

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// badDisk fails from the given step on, once or for good, and counts the steps.
type badDisk struct {
	osDisk
	failAt  int // counted from 1; 0: never
	forGood bool
	steps   int
	calls   []string
}

var errDisk = errors.New("the disk is full")

func (d *badDisk) step(what string) error {
	d.steps++
	d.calls = append(d.calls, what)
	if d.failAt > 0 && (d.steps == d.failAt || d.forGood && d.steps > d.failAt) {
		return errDisk
	}
	return nil
}

func (d *badDisk) writeNew(path string, data []byte, mode fs.FileMode) (string, error) {
	if err := d.step("write"); err != nil {
		return "", err
	}
	return d.osDisk.writeNew(path, data, mode)
}

func (d *badDisk) exists(path string) (bool, error) {
	if err := d.step("exists"); err != nil {
		return false, err
	}
	return d.osDisk.exists(path)
}

func (d *badDisk) link(old, new string) error {
	if err := d.step("link"); err != nil {
		return err
	}
	return d.osDisk.link(old, new)
}

func (d *badDisk) rename(old, new string) error {
	if err := d.step("rename"); err != nil {
		return err
	}
	return d.osDisk.rename(old, new)
}

func (d *badDisk) remove(path string) error {
	if err := d.step("remove"); err != nil {
		return err
	}
	return d.osDisk.remove(path)
}

func (d *badDisk) syncDir(dir string) error {
	if err := d.step("sync"); err != nil {
		return err
	}
	return d.osDisk.syncDir(dir)
}

var installTime = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// oldSet writes those of the three files that the mask names, and returns the new ones to be
// installed over them.
func oldSet(t *testing.T, mask int) (dir string, files []newFile) {
	t.Helper()
	dir = t.TempDir()
	for i, name := range []string{"server.key", "server.cer", "server.pfx"} {
		path := filepath.Join(dir, name)
		files = append(files, newFile{path, []byte("new " + name), 0o600})
		if mask&(1<<i) != 0 {
			require.NoError(t, os.WriteFile(path, []byte("old "+name), 0o640))
		}
	}
	return dir, files
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	out := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		info, err := e.Info()
		require.NoError(t, err)
		out[e.Name()] = fmt.Sprintf("%s %s", info.Mode(), data)
	}
	return out
}

// Whatever step fails, and whichever files were there before: all is as it was.
func TestInstallIsUndoneAtEveryStep(t *testing.T) {
	tried := map[string]bool{}
	for _, mask := range []int{0, 7, 5} { // none, all, no certificate
		steps := 1
		for failAt := 1; failAt <= steps; failAt++ {
			dir, files := oldSet(t, mask)
			before := contents(t, dir)
			whole := &badDisk{}
			if failAt == 1 { // how many steps there are, if none fails
				_, err := replaceAll(whole, files, installTime)
				require.NoError(t, err)
				steps = whole.steps
				dir, files = oldSet(t, mask)
			}
			d := &badDisk{failAt: failAt}
			kept, err := replaceAll(d, files, installTime)
			require.ErrorContains(t, err, "tlscheck: the installation failed, and the old files are in place: the disk is full")
			assert.Empty(t, kept)
			assert.Equal(t, before, contents(t, dir), "mask %03b, step %d (%s)", mask, failAt, d.calls[failAt-1])
			tried[d.calls[failAt-1]] = true
		}
	}
	assert.Len(t, tried, 5, "every kind of step but remove, which only undoing does: %v", tried)
}

// The old files are kept for good before the first of them is replaced.
func TestInstallKeepsBeforeItReplaces(t *testing.T) {
	_, files := oldSet(t, 7)
	d := &badDisk{}
	_, err := replaceAll(d, files, installTime)
	require.NoError(t, err)
	first := slices.Index(d.calls, "rename")
	require.Positive(t, first)
	assert.Equal(t, "sync", d.calls[first-1])
	assert.NotContains(t, d.calls[first:], "link")
	assert.Equal(t, "sync", d.calls[len(d.calls)-1])
}

// If even undoing fails, the error says so, and nothing of the old set is lost.
func TestInstallThatCannotBeUndoneLosesNothing(t *testing.T) {
	whole := &badDisk{}
	_, files := oldSet(t, 7)
	_, err := replaceAll(whole, files, installTime)
	require.NoError(t, err)
	for failAt := 1; failAt <= whole.steps; failAt++ {
		dir, files := oldSet(t, 7)
		_, err := replaceAll(&badDisk{failAt: failAt, forGood: true}, files, installTime)
		require.Error(t, err)
		if failAt > 1 {
			require.ErrorContains(t, err, "could not be undone")
			require.ErrorContains(t, err, ".old-20261201T120000Z")
		}
		assert.NotContains(t, err.Error(), "\n")
		all := ""
		for _, text := range contents(t, dir) {
			all += text + "\n"
		}
		for _, f := range files {
			assert.Contains(t, all, "old "+filepath.Base(f.path), "step %d", failAt)
		}
	}
}

func TestInstallKeepsTheFileThatIsThereAtAllTimes(t *testing.T) {
	dir, files := oldSet(t, 7)
	d := &watchingDisk{dir: dir, t: t}
	_, err := replaceAll(d, files, installTime)
	require.NoError(t, err)
	assert.Positive(t, d.looks)
}

// watchingDisk looks after each step whether the three files are there.
type watchingDisk struct {
	osDisk
	dir   string
	looks int
	t     *testing.T
}

func (d *watchingDisk) look() {
	d.looks++
	for _, name := range []string{"server.key", "server.cer", "server.pfx"} {
		_, err := os.Stat(filepath.Join(d.dir, name))
		assert.NoError(d.t, err)
	}
}

func (d *watchingDisk) link(old, new string) error {
	defer d.look()
	return d.osDisk.link(old, new)
}

func (d *watchingDisk) rename(old, new string) error {
	defer d.look()
	return d.osDisk.rename(old, new)
}

// Where there are no hard links, the old file is copied.
func TestKeepByCopying(t *testing.T) {
	dir, files := oldSet(t, 7)
	path := files[0].path
	require.NoError(t, osDisk{}.copy(path, path+".kept"))
	assert.Equal(t, contents(t, dir)["server.key"], contents(t, dir)["server.key.kept"])
	require.ErrorIs(t, osDisk{}.copy(path, path+".kept"), fs.ErrExist)
	require.ErrorIs(t, osDisk{}.copy(path+".none", path+".more"), fs.ErrNotExist)
	require.NoError(t, os.Truncate(path, maxKeyFile+1))
	require.ErrorContains(t, osDisk{}.copy(path, path+".big"), "nothing of the kind is larger")
	assert.NotContains(t, contents(t, dir), "server.key.big")
}

// Names of kept files are not reused, and running out of them is an error.
func TestKeepFindsAFreeName(t *testing.T) {
	dir, files := oldSet(t, 1)
	var names []string
	for range 9 {
		name, err := keep(osDisk{}, files[0].path, installTime)
		require.NoError(t, err)
		names = append(names, strings.TrimPrefix(name, filepath.Join(dir, "server.key.old-20261201T120000Z")))
	}
	assert.Equal(t, []string{"", "-2", "-3", "-4", "-5", "-6", "-7", "-8", "-9"}, names)
	_, err := keep(osDisk{}, files[0].path, installTime)
	require.ErrorIs(t, err, fs.ErrExist)
}
