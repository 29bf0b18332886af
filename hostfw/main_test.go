package hostfw_test

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/connsec/connsec/hostfw"
	"github.com/connsec/connsec/internal/ruletest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// The proofs on real kernels wait for packets that are dropped, and compute little.
	if n := flag.Lookup("test.parallel"); n.Value.String() == n.DefValue {
		_ = n.Value.Set("16")
	}
	code := ruletest.Track(m, hostfw.Rules()).Run()
	if err := goleak.Find(); code == 0 && err != nil {
		os.Stderr.WriteString(err.Error())
		code = 1
	}
	os.Exit(code)
}
