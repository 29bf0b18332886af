package smtpsec_test

import (
	"testing"

	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/smtpsec"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(ruletest.Track(m, smtpsec.Rules())) }
