package hostfw_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/connsec/connsec/hostfw"
	"github.com/connsec/connsec/internal/ruletest"
)

func TestMain(m *testing.M) {
	code := ruletest.Track(m, hostfw.Rules()).Run()
	if err := goleak.Find(); code == 0 && err != nil {
		os.Stderr.WriteString(err.Error())
		code = 1
	}
	os.Exit(code)
}
