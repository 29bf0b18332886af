package apisec_test

import (
	"testing"

	"github.com/connsec/connsec/apisec"
	"github.com/connsec/connsec/internal/ruletest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(ruletest.Track(m, apisec.Rules())) }
