package securl

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// A transaction outlives an interrupted run for as long as a rollback may take, and no longer.
func TestOutlast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, interrupt := context.WithCancel(t.Context())
		outer, end := outlast(ctx, time.Second)
		interrupt()
		time.Sleep(time.Second - time.Nanosecond)
		synctest.Wait()
		assert.NoError(t, outer.Err())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		assert.Error(t, outer.Err())
		end()

		outer, end = outlast(t.Context(), time.Second)
		end()
		assert.Error(t, outer.Err(), "it ends with the transaction")
	})
}
