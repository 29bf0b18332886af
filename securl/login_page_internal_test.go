package securl

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestWords: every message is there in both languages, and nothing was left in the other one.
func TestWords(t *testing.T) {
	for m := msgWrong; m <= msgSignedOut; m++ {
		en, fr := wordsEnglish.messages[m], wordsFrench.messages[m]
		for i := range en {
			assert.Equal(t, en[i] == "", fr[i] == "", m)
			assert.True(t, en[i] == "" || en[i] != fr[i], m)
			assert.Equal(t, strings.Count(en[i], "%"), strings.Count(fr[i], "%"), m)
		}
		assert.Equal(t, m >= msgNoRID, en[0] != "", "a page of its own has a title")
		assert.NotEmpty(t, en[1])
	}
}

func TestWaitInWords(t *testing.T) {
	for d, want := range map[time.Duration][2]string{
		1:                               {"1 second", "1 seconde"},
		time.Second:                     {"1 second", "1 seconde"},
		time.Second + 1:                 {"2 seconds", "2 secondes"},
		119 * time.Second:               {"119 seconds", "119 secondes"},
		2 * time.Minute:                 {"2 minutes", "2 minutes"},
		2*time.Minute + time.Nanosecond: {"3 minutes", "3 minutes"},
		15 * time.Minute:                {"15 minutes", "15 minutes"},
	} {
		assert.Equal(t, want, [2]string{wordsEnglish.duration(d), wordsFrench.duration(d)})
	}
}
