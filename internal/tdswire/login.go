package tdswire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"
)

// Login is what a LOGIN7 message says about the client. The password itself is not read: that
// there is one, and how it travelled, is all that is asked of it.
type Login struct {
	TDSVersion  uint32 // 0x74000004: 7.4; 0x08000000: 8.0
	PacketSize  uint32
	HostName    string // of the client
	UserName    string
	HasPassword bool
	AppName     string
	ServerName  string
	Library     string // the client library's interface name
	Database    string
	Integrated  bool // Windows authentication
	SSPI        bool // a token is there
	FeatureExt  bool
}

// loginFixed is the length of the fixed part of LOGIN7 with its table of offsets, as TDS 7.2
// and later have it. TDS 7.0 and 7.1 end before the attached file name's successor fields.
const (
	loginFixed    = 94
	loginFixedOld = 86
)

// maxLoginField bounds a text field: MS-TDS 2.2.6.4 allows 128 characters for most.
const maxLoginField = 1024

// ParseLogin reads a LOGIN7 message.
func ParseLogin(message []byte) (Login, error) {
	if len(message) < loginFixedOld {
		return Login{}, fmt.Errorf("tdswire: LOGIN7 of %d bytes is too short", len(message))
	}
	total := int64(binary.LittleEndian.Uint32(message))
	if total > int64(len(message)) || total < loginFixedOld {
		return Login{}, fmt.Errorf("tdswire: LOGIN7 of %d bytes claims %d", len(message), total)
	}
	message = message[:total]
	l := Login{
		TDSVersion: binary.LittleEndian.Uint32(message[4:]),
		PacketSize: binary.LittleEndian.Uint32(message[8:]),
		Integrated: message[25]&0x80 != 0,
		FeatureExt: message[27]&0x10 != 0,
	}
	var bad error
	text := func(at int) string {
		from, n := int(binary.LittleEndian.Uint16(message[at:])), int(binary.LittleEndian.Uint16(message[at+2:]))
		if n == 0 {
			return ""
		}
		if n > maxLoginField || from+2*n > len(message) {
			bad = errors.New("tdswire: a LOGIN7 field points outside of the message")
			return ""
		}
		return UTF16(message[from : from+2*n])
	}
	l.HostName, l.UserName = text(36), text(40)
	l.HasPassword = text(44) != "" // the value, though obfuscated, is not kept
	l.AppName, l.ServerName = text(48), text(52)
	l.Library, l.Database = text(60), text(68)
	if n := int(binary.LittleEndian.Uint16(message[80:])); n > 0 {
		if from := int(binary.LittleEndian.Uint16(message[78:])); from > len(message) {
			bad = errors.New("tdswire: a LOGIN7 field points outside of the message")
		}
		l.SSPI = true
	}
	return l, bad
}

// UTF16 decodes little-endian UTF-16; an odd last byte is dropped.
func UTF16(b []byte) string {
	u := make([]uint16, len(b)/2)
	for i := range u {
		u[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(u))
}

// AppendUTF16 appends s in little-endian UTF-16.
func AppendUTF16(b []byte, s string) []byte {
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}
