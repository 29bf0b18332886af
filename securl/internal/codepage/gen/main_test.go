package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTableRefusesWhatItDoesNotUnderstand(t *testing.T) {
	for name, text := range map[string]string{
		"no mappings":      "CHARMAP\nEND CHARMAP\n",
		"three bytes":      "CHARMAP\n<U0041> \\x41\\x42\\x43 |0\n",
		"unknown kind":     "CHARMAP\n<U0041> \\x41 |4\n",
		"beyond the BMP":   "CHARMAP\n<U1F600> \\x41 |0\n",
		"lead byte zero":   "CHARMAP\n<U0041> \\x00\\x41 |0\n",
		"something else":   "CHARMAP\nA is 41\n",
		"outside of table": "<U0041> \\x41 |0\n",
	} {
		_, err := table([]byte(text))
		require.Error(t, err, name)
	}
}

func TestPack(t *testing.T) {
	list := []mapping{{unit: 0x0141, code: 0xA3}, {unit: 0x0140, code: 0xA4}}
	got := pack(nil, list, func(m mapping) uint16 { return m.code }, func(m mapping) uint16 { return m.unit })
	assert.Equal(t, []byte{0, 2, 0, 0, 0xA3, 1, 0x01, 0xFF, 0x41, 0xFF}, got, "count, then high and low bytes of the differences, keys before values")
}
