package securl_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/connsec/connsec/internal/ruletest"
	"github.com/connsec/connsec/securl"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(ruletest.Track(m, securl.Rules()))
}
