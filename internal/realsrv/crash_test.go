package realsrv_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/internal/testca"
)

const crashVar = "CONNSEC_TEST_CRASH"

// TestCrash kills a test process that has daemons running and looks whether they end: one that
// the kernel ends, and one that changes its user and so needs the watcher.
func TestCrash(t *testing.T) {
	if os.Getenv(crashVar) != "" {
		m := material(t, testca.Leaf{})
		nginx, postfix := realsrv.Nginx{TLS: m}.Start(t), realsrv.Postfix{TLS: m}.Start(t)
		fmt.Println("running", nginx.PID(), postfix.PID())
		select {}
	}
	realsrv.Need(t, "nginx")
	realsrv.Need(t, "postfix")
	realsrv.Need(t, "root")
	dir := realsrv.NewDir(t, "")
	cmd := exec.Command(os.Args[0], "-test.run=^TestCrash$")
	cmd.Env = append(os.Environ(), crashVar+"=1", "TMPDIR="+dir.Path())
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var pids []string
	for lines := bufio.NewScanner(out); pids == nil && lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "running "); ok {
			pids = strings.Fields(rest)
		}
	}
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	require.Len(t, pids, 2)
	for _, pid := range pids {
		assert.Eventually(t, func() bool { return ended(pid) }, 20*time.Second, 10*time.Millisecond, "process %s", pid)
	}
}

// ended reports whether a process is gone, or is waiting for init to take notice.
func ended(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	return err != nil || strings.Contains(string(stat), ") Z ")
}
