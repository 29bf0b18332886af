package hostfw

import (
	"net/netip"
)

// Policy is what a host is meant to let in. The zero value is HTTPS on port 443 from everywhere,
// and nothing else.
type Policy struct {
	// HTTPS are the TCP ports that everyone may reach. Default 443. MyQ Central Server uses 8093.
	HTTPS []uint16 `json:"https,omitempty"`
	// Services are further ports, each with those who may reach it: management (RDP, SSH,
	// WinRM), monitoring, a database.
	Services []Service `json:"services,omitempty"`
	// Name is the prefix of the names of planned rules. Default "connsec".
	Name string `json:"name,omitempty"`
}

// Service is a port with its clients.
type Service struct {
	Name     string         `json:"name"`
	Protocol Protocol       `json:"protocol"`
	Port     uint16         `json:"port"`
	Sources  []netip.Prefix `json:"sources"`
}
