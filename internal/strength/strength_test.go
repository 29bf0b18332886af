package strength_test

import (
	"bytes"
	"testing"

	"github.com/connsec/connsec/internal/strength"
	"github.com/stretchr/testify/assert"
)

func TestEstimates(t *testing.T) {
	assert.True(t, strength.Of("Testing-123", nil).Known)
	assert.Less(t, strength.Of("qwertzuiopasdfghjklyxcvbnm123456", nil).Bits, float64(strength.Crackable))
	assert.Less(t, strength.Of("Sommer2026Sommer2026Sommer2026", nil).Bits, float64(strength.Crackable))
	for _, repeated := range []string{"a1b2a1b2a1b2a1b2a1b2a1b2a1b2a1b2a1b2a1b2", "kq7dz4mwkq7dz4mwkq7dz4mwkq7dz4mw", "x9x9x9x9x9x9x9x9x9x9x9x9x9x9x9x9x"} {
		assert.Less(t, strength.Of(repeated, nil).Bits, float64(strength.Crackable), repeated)
	}
	assert.True(t, strength.Of("dGVzdGluZzEyMw==", nil).Known, "testing123 in base64")
	assert.True(t, strength.Of("74657374696e67313233", nil).Known, "and in hex")
	with := strength.Of("kwyjibo-blorptang-zzyzx", strength.Words([]string{"kwyjibo.blorptang.zzyzx"})).Bits
	assert.Less(t, with, strength.Of("kwyjibo-blorptang-zzyzx", nil).Bits, "words of the surroundings count")
	assert.NotPanics(t, func() { strength.Of(string(bytes.Repeat([]byte("é\xff"), 200)), []string{"é"}) })
}

func BenchmarkEstimate(b *testing.B) {
	for name, s := range map[string]string{"generated": "kq7dz4mw-b3xv6hnp-tjr5cy2s-gf4ae7ul", "words": "MyQRadiusServerProductionSecret2024", "default": "testing123"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				strength.Of(s, nil)
			}
		})
	}
}
