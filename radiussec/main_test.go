package radiussec_test

import (
	"testing"

	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/radiussec"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(ruletest.Track(m, radiussec.Rules())) }
