package tdswire

import (
	"encoding/binary"
	"errors"
	"strings"
)

// SQL Server Browser's requests (MC-SQLR 2.2).
const (
	browserAll    = 0x03 // CLNT_UCAST_EX
	browserOne    = 0x04 // CLNT_UCAST_INST
	browserAnswer = 0x05 // SVR_RESP
)

// MaxBrowserAnswer is the size of the longest answer: a datagram.
const MaxBrowserAnswer = 65535

// BrowserRequest asks for one instance, or for all if the name is empty.
func BrowserRequest(instance string) []byte {
	if instance == "" {
		return []byte{browserAll}
	}
	return append(append([]byte{browserOne}, instance...), 0)
}

// maxInstances bounds what is taken from one answer; SQL Server allows 50 instances a machine.
const maxInstances = 64

// ParseBrowserAnswer returns one map of lower-case keys ("instancename", "tcp", "version",
// "np", …) for each instance of the answer.
func ParseBrowserAnswer(datagram []byte) ([]map[string]string, error) {
	if len(datagram) < 3 || datagram[0] != browserAnswer {
		return nil, errors.New("tdswire: this is no answer of SQL Server Browser")
	}
	if n := int(binary.LittleEndian.Uint16(datagram[1:])); n != len(datagram)-3 {
		return nil, errors.New("tdswire: the answer of SQL Server Browser has the wrong length")
	}
	var instances []map[string]string
	for text := range strings.SplitSeq(string(datagram[3:]), ";;") {
		if text == "" {
			continue
		}
		if len(instances) == maxInstances {
			break
		}
		fields := strings.Split(text, ";")
		instance := map[string]string{}
		for i := 0; i+1 < len(fields); i += 2 {
			key := strings.ToLower(fields[i])
			if _, twice := instance[key]; !twice { // "np" and "tcp" come once; the first counts
				instance[key] = fields[i+1]
			}
		}
		instances = append(instances, instance)
	}
	return instances, nil
}
