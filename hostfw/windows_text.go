package hostfw

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

const (
	// mostExport bounds an export. Ten thousand rules of nftables are some 4 MB.
	mostExport = 64 << 20
	// mostRules bounds the rules of one. Windows comes with some 500.
	mostRules = 1 << 16
)

// windowsText brings an export into UTF-8, whatever way it took into a file: PowerShell's ">"
// writes UTF-16 (5.1) or UTF-8 (7), Set-Content the ANSI code page, and cmd's ">" what netsh
// writes, the OEM code page. The last two carry no mark, and are told apart by the letters of
// French and German that they would make.
func windowsText(data []byte) (string, error) {
	if len(data) > mostExport {
		return "", fmt.Errorf("hostfw: the export has more than %d MiB", mostExport>>20)
	}
	switch {
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}):
		return utf16Text(data[2:], 0)
	case bytes.HasPrefix(data, []byte{0xfe, 0xff}):
		return utf16Text(data[2:], 1)
	case len(data) >= 4 && data[0] != 0 && data[1] == 0 && data[3] == 0:
		return utf16Text(data, 0)
	}
	data = bytes.TrimPrefix(data, []byte{0xef, 0xbb, 0xbf})
	if utf8.Valid(data) {
		return string(data), nil
	}
	best, most := "", -1
	for _, page := range []*charmap.Charmap{charmap.CodePage850, charmap.Windows1252} {
		text, err := page.NewDecoder().Bytes(data)
		if err != nil {
			continue
		}
		if n := letters(text); n > most {
			best, most = string(text), n
		}
	}
	return best, nil
}

// letters counts the letters beyond ASCII that French and German have.
func letters(text []byte) int {
	n := 0
	for _, r := range string(text) {
		if r >= utf8.RuneSelf && strings.ContainsRune("äöüßÄÖÜàâçèéêëîïôùûÀÂÇÈÉÊ\u00a0’", r) {
			n++
		}
	}
	return n
}

// utf16Text decodes UTF-16 whose low byte is at the given place of each pair.
func utf16Text(data []byte, low int) (string, error) {
	if len(data)%2 != 0 {
		return "", errors.New("hostfw: the export ends in half a UTF-16 character")
	}
	units := make([]uint16, len(data)/2)
	for i := range units {
		units[i] = uint16(data[2*i+low]) | uint16(data[2*i+1-low])<<8
	}
	return string(utf16.Decode(units)), nil
}
