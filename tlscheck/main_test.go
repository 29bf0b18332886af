package tlscheck_test

import (
	"testing"

	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/tlscheck"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(ruletest.Track(m, tlscheck.Rules())) }
