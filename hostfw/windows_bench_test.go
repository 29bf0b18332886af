package hostfw

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"
)

// bigExport is as many inbound rules as a server with a few roles has, of which half are on,
// with the outbound ones beside them.
func bigExport(b *testing.B, n int) []byte {
	var rules, ports, addresses, programs, services, types, security []map[string]any
	for i := range n {
		id := fmt.Sprintf("{8F2B5A10-0000-4000-8000-%012d}", i)
		rules = append(rules, map[string]any{"InstanceID": id, "DisplayName": fmt.Sprintf("Rule %d of the server", i), "Enabled": 1 + i%2, "Direction": 1 + i/2%2, "Action": 2 + i%97/96*2, "Profile": i % 8, "PolicyStoreSourceType": 1})
		port, remote := any(fmt.Sprint(1000+i%300)), any("Any")
		switch i % 12 {
		case 3:
			port = []string{"80", "443", fmt.Sprint(5000 + i)}
		case 4:
			port = "RPC"
		case 8:
			port, remote = "Any", "LocalSubnet"
		case 9:
			remote = []string{fmt.Sprintf("10.%d.0.0/255.255.0.0", i%200), "192.168.0.0/16"}
		}
		ports = append(ports, map[string]any{"InstanceID": id, "Protocol": []string{"TCP", "UDP"}[i/3%2], "LocalPort": port, "RemotePort": "Any"})
		addresses = append(addresses, map[string]any{"InstanceID": id, "LocalAddress": "Any", "RemoteAddress": remote})
		programs = append(programs, map[string]any{"InstanceID": id, "Program": `%SystemRoot%\system32\svchost.exe`, "Package": nil})
		services = append(services, map[string]any{"InstanceID": id, "Service": fmt.Sprint("svc", i%50)})
		types = append(types, map[string]any{"InstanceID": id, "InterfaceType": 0})
		security = append(security, map[string]any{"InstanceID": id, "Authentication": 0, "Encryption": 0, "OverrideBlockRules": false})
	}
	profiles := []map[string]any{}
	for _, name := range profileNames {
		profiles = append(profiles, map[string]any{"Name": name, "Enabled": 1, "DefaultInboundAction": 4, "AllowInboundRules": 1})
	}
	data, err := json.Marshal(map[string]any{"Profiles": profiles, "Rules": rules, "PortFilters": ports, "AddressFilters": addresses, "ApplicationFilters": programs, "ServiceFilters": services, "InterfaceTypeFilters": types, "SecurityFilters": security})
	if err != nil {
		b.Fatal(err)
	}
	return data
}

func BenchmarkWindowsParse(b *testing.B) {
	data := bigExport(b, 800)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseWindowsJSON(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWindowsDecide(b *testing.B) {
	p, err := parseWindowsJSON(bigExport(b, 800))
	if err != nil {
		b.Fatal(err)
	}
	packet := Packet{Source: netip.MustParseAddr("203.0.113.7"), SourcePort: 50000, Destination: netip.MustParseAddr("192.0.2.1"), Port: 64, Profile: "Public"}
	b.ReportAllocs()
	for b.Loop() {
		p.decide(packet)
	}
}

func BenchmarkWindowsEvaluate(b *testing.B) {
	p, err := parseWindowsJSON(bigExport(b, 800))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		p.cells(true)
		p.cells(false)
	}
}
