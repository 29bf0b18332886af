package tdswire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Encryption is the value of PRELOGIN's ENCRYPTION option (MS-TDS 2.2.6.5).
type Encryption byte

// The values.
const (
	EncryptOff    Encryption = 0 // available, for the login only
	EncryptOn     Encryption = 1 // wanted for everything
	EncryptNotSup Encryption = 2 // not available
	EncryptReq    Encryption = 3 // demanded
)

// String returns the name in MS-TDS without its prefix: "OFF", "ON", "NOT_SUP", "REQ".
func (e Encryption) String() string {
	switch e {
	case EncryptOff:
		return "OFF"
	case EncryptOn:
		return "ON"
	case EncryptNotSup:
		return "NOT_SUP"
	case EncryptReq:
		return "REQ"
	}
	return fmt.Sprintf("%#02x", byte(e))
}

// PRELOGIN options.
const (
	optVersion    = 0x00
	optEncryption = 0x01
	optInstance   = 0x02
	optThreadID   = 0x03
	optMARS       = 0x04
	optTraceID    = 0x05
	optFedAuth    = 0x06
	optNonce      = 0x07
	optEnd        = 0xff
)

// Version is the version of a server or a client library as PRELOGIN carries it.
type Version struct {
	Major, Minor byte
	Build        uint16
	SubBuild     uint16
}

// String returns "16.0.4135", with the sub-build if there is one.
func (v Version) String() string {
	if v.SubBuild != 0 {
		return fmt.Sprintf("%d.%d.%d.%d", v.Major, v.Minor, v.Build, v.SubBuild)
	}
	return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Build)
}

// Prelogin is the message that negotiates encryption. Absent options are nil or false.
type Prelogin struct {
	Version    *Version
	Encryption *Encryption
	Instance   []byte // without the terminating zero
	MARS       bool
	FedAuth    *byte
	Nonce      []byte
	// Answer makes Marshal leave the thread's number empty, as servers do and nmap insists.
	Answer bool
}

// Marshal returns the message. The order of options is that of their numbers.
func (p Prelogin) Marshal() []byte {
	type option struct {
		number byte
		data   []byte
	}
	var options []option
	if v := p.Version; v != nil {
		data := binary.BigEndian.AppendUint16([]byte{v.Major, v.Minor}, v.Build)
		options = append(options, option{optVersion, binary.BigEndian.AppendUint16(data, v.SubBuild)})
	}
	if p.Encryption != nil {
		options = append(options, option{optEncryption, []byte{byte(*p.Encryption)}})
	}
	mars := byte(0)
	if p.MARS {
		mars = 1
	}
	thread := []byte{0, 0, 0, 0}
	if p.Answer {
		thread = nil
	}
	options = append(options,
		option{optInstance, append(append([]byte{}, p.Instance...), 0)},
		option{optThreadID, thread},
		option{optMARS, []byte{mars}})
	if p.FedAuth != nil {
		options = append(options, option{optFedAuth, []byte{*p.FedAuth}})
	}
	if p.Nonce != nil {
		options = append(options, option{optNonce, p.Nonce})
	}
	at := 5*len(options) + 1
	var head, body []byte
	for _, o := range options {
		head = append(head, o.number)
		head = binary.BigEndian.AppendUint16(head, uint16(at))
		head = binary.BigEndian.AppendUint16(head, uint16(len(o.data)))
		body = append(body, o.data...)
		at += len(o.data)
	}
	return append(append(head, optEnd), body...)
}

// ParsePrelogin reads the message. An option that points outside of it, or stands twice, is an
// error; an option of unknown number is not.
func ParsePrelogin(message []byte) (Prelogin, error) {
	var p Prelogin
	seen := [256]bool{}
	for i := 0; ; i += 5 {
		if i >= len(message) {
			return p, errors.New("tdswire: PRELOGIN has no end of options")
		}
		number := message[i]
		if number == optEnd {
			return p, nil
		}
		if i+5 > len(message) {
			return p, errors.New("tdswire: PRELOGIN ends inside an option")
		}
		from := int(binary.BigEndian.Uint16(message[i+1:]))
		size := int(binary.BigEndian.Uint16(message[i+3:]))
		if from+size > len(message) {
			return p, fmt.Errorf("tdswire: PRELOGIN option %#02x points outside of the message", number)
		}
		if seen[number] {
			return p, fmt.Errorf("tdswire: PRELOGIN option %#02x stands twice", number)
		}
		seen[number] = true
		data := message[from : from+size]
		switch {
		case number == optVersion && size >= 4:
			v := Version{Major: data[0], Minor: data[1], Build: binary.BigEndian.Uint16(data[2:])}
			if size >= 6 {
				v.SubBuild = binary.BigEndian.Uint16(data[4:])
			}
			p.Version = &v
		case number == optEncryption && size >= 1:
			e := Encryption(data[0])
			p.Encryption = &e
		case number == optInstance:
			p.Instance = []byte{}
			for _, b := range data {
				if b == 0 {
					break
				}
				p.Instance = append(p.Instance, b)
			}
		case number == optMARS && size >= 1:
			p.MARS = data[0] == 1
		case number == optFedAuth && size >= 1:
			p.FedAuth = &data[0]
		case number == optNonce:
			p.Nonce = data
		}
	}
}
