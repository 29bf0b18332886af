package radiussec

import (
	"bytes"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/connsec/connsec"
)

const (
	maxNPS      = 64 << 20
	maxNPSDepth = 64
)

// ReadNPS reads the RADIUS clients from an export of Windows' Network Policy Server, made by
// "netsh nps export filename=… exportPSK=YES" or Export-NpsConfiguration. It holds the shared
// secrets in clear: delete it afterwards. Without exportPSK the secrets are missing, which the
// entries say.
//
// Whether a client is required to sign requests is an old NPS setting of the client
// (Require_Signature). What "netsh nps set limitproxystate" and "requiremsgauth" decided for
// all is kept in the registry and not exported.
func ReadNPS(r io.Reader) (Inventory, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxNPS+1))
	if err != nil {
		return Inventory{}, fmt.Errorf("radiussec: the NPS export cannot be read: %w", err)
	}
	if len(data) > maxNPS {
		return Inventory{}, fmt.Errorf("radiussec: the NPS export has more than %d MiB", maxNPS>>20)
	}
	data, err = utf8Text(data)
	if err != nil {
		return Inventory{}, err
	}
	inv := Inventory{Target: "NPS export"}
	d := xml.NewDecoder(bytes.NewReader(data))
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // converted above
	var (
		names    []string     // open elements
		client   *ClientEntry // inside Clients/Children/X/Properties
		depth    int          // of that X
		seenRoot bool
		field    string
		has      map[string]bool
		text     bytes.Buffer
		columns  counter
	)
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		line, column := d.InputPos()
		if err != nil {
			return Inventory{}, fmt.Errorf("radiussec: the NPS export is not well-formed XML (line %d)", line)
		}
		switch t := token.(type) {
		case xml.StartElement:
			if names = append(names, t.Name.Local); len(names) > maxNPSDepth {
				return Inventory{}, fmt.Errorf("radiussec: the NPS export nests elements more than %d deep", maxNPSDepth)
			}
			n := len(names)
			seenRoot = seenRoot || t.Name.Local == "Microsoft_Internet_Authentication_Service"
			switch {
			case client == nil && n >= 3 && names[n-2] == "Children" && names[n-3] == "Clients":
				client, depth, has = &ClientEntry{Transport: UDP, Name: t.Name.Local, Quoted: true}, n, map[string]bool{}
				for _, a := range t.Attr {
					if a.Name.Local == "name" {
						client.Name = a.Value
					}
				}
				end := int(d.InputOffset())
				client.Source = connsec.Position{Line: line, Column: columns.at(data, end-column+1, end)}
			case client != nil && n == depth+2 && names[n-2] == "Properties":
				field = t.Name.Local
				text.Reset()
			}
		case xml.CharData:
			if field != "" {
				text.Write(t)
			}
		case xml.EndElement:
			n := len(names)
			if client != nil && n == depth+2 && field != "" {
				client.property(field, text.String())
				has[field], field = true, ""
			}
			if client != nil && n == depth {
				if !has["Shared_Secret"] {
					client.Unresolved = "the export does not contain it; export with exportPSK=YES"
				}
				inv.Clients = append(inv.Clients, *client)
				client = nil
			}
			names = names[:n-1]
		}
	}
	if !seenRoot {
		return Inventory{}, errors.New("radiussec: this is no export of NPS: there is no element Microsoft_Internet_Authentication_Service")
	}
	return inv, nil
}

// counter counts characters from where a line begins. It goes on from the place before, since an
// export may be one long line.
type counter struct{ begin, end, n int }

func (c *counter) at(data []byte, begin, end int) (column int) {
	if c.begin != begin || c.end > end {
		*c = counter{begin: begin, end: begin}
	}
	c.n, c.end = c.n+utf8.RuneCount(data[c.end:end]), end
	return c.n + 1
}

func (c *ClientEntry) property(field, value string) {
	flag := map[string]Demand{"0": No, "1": Yes}[value]
	switch field {
	case "IP_Address":
		c.Address = value
	case "Shared_Secret":
		c.Secret = connsec.NewSecret(value)
	case "Require_Signature":
		c.MessageAuthenticator = flag
	case "Radius_Client_Enabled":
		c.Disabled = flag == No
	}
}

// utf8Text converts UTF-16 with a byte order mark, which Windows likes to write.
func utf8Text(data []byte) ([]byte, error) {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}):
		order = binary.LittleEndian
	case bytes.HasPrefix(data, []byte{0xfe, 0xff}):
		order = binary.BigEndian
	default:
		return bytes.TrimPrefix(data, []byte{0xef, 0xbb, 0xbf}), nil
	}
	if len(data)%2 != 0 {
		return nil, errors.New("radiussec: the NPS export ends in half a UTF-16 character")
	}
	units := make([]uint16, 0, len(data)/2)
	for i := 2; i < len(data); i += 2 {
		units = append(units, order.Uint16(data[i:]))
	}
	return []byte(string(utf16.Decode(units))), nil
}
