package ldapsec_test

import (
	"testing"

	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/ldapsec"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(ruletest.Track(m, ldapsec.Rules())) }
