package sqlsec

import (
	"testing"

	"github.com/connsec/connsec/internal/ruletest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(ruletest.Track(m, Rules())) }
