package hostfw

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// windowsSources are the values of RemoteAddress.
func (o opening) windowsSources() ([]string, error) {
	if o.everyone || whole(o.v4) && whole(o.v6) {
		return []string{"Any"}, nil
	}
	if whole(o.v4) || whole(o.v6) {
		return nil, errors.New("hostfw: " + quoted(o.name) + ": Windows Firewall takes all addresses of both IP versions or a list of some; name 0.0.0.0/0 and ::/0, or neither")
	}
	var out []string
	for _, p := range slices.Concat(o.v4, o.v6) {
		out = append(out, windowsAddress(p))
	}
	return out, nil
}

// windowsAddress leaves the length of a single address out.
func windowsAddress(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// windowsAssumes is what the two plans for Windows share.
var windowsAssumes = []string{
	"Group Policy does not manage this firewall: its rules stay in force beside these, and it may have local ones ignored (AllowLocalFirewallRules False).",
	"The rule set as it is now goes into a file in %SystemRoot%, where only administrators can put one, and undo imports it again.",
}

// powerShell disables the inbound rules that allow something and are not the policy's, and keeps
// those of Core Networking, without which IPv6 and DHCP stop. Cmdlets and parameters:
// https://learn.microsoft.com/en-us/powershell/module/netsecurity/ (New-NetFirewallRule,
// Get-NetFirewallRule, Disable-NetFirewallRule, Remove-NetFirewallRule, Set-NetFirewallProfile).
func (d draft) powerShell() (Plan, error) {
	backup := "(Join-Path $env:SystemRoot '" + d.id + "-firewall-before.wfw')"
	ours := d.name + " inbound" // a group that is nobody else's
	var rules []string
	for _, o := range d.opens {
		sources, err := o.windowsSources()
		if err != nil {
			return Plan{}, err
		}
		for i := range sources {
			sources[i] = "'" + sources[i] + "'"
		}
		rules = append(rules, fmt.Sprintf("New-NetFirewallRule -Name '%[1]s' -DisplayName '%[1]s' -Group '%[2]s' -Direction Inbound -Action Allow -Enabled True -Profile Any -Protocol %[3]s -LocalPort %[4]d -RemoteAddress %[5]s | Out-Null",
			o.name, ours, strings.ToUpper(o.protocol.String()), o.port, strings.Join(sources, ", ")))
	}
	return Plan{
		Assumes: append([]string{
			"Windows PowerShell 5.1 or PowerShell 7, as an administrator, on Windows 8 or Server 2012 and later.",
			"All other inbound rules that allow something are switched off, not removed, but for Core Networking (ICMP, DHCP). Rules that block stay: what one of them blocks stays blocked, HTTPS too. Programs that add rules when they start (some installers, Hyper-V, containers) may add theirs again.",
		}, windowsAssumes...),
		Apply: []Step{
			{"Stop at the first mistake.", "$ErrorActionPreference = 'Stop'"},
			{"Keep what is there, once.", "if (-not (Test-Path " + backup + ")) {\n    netsh advfirewall export " + backup + "\n    if ($LASTEXITCODE -ne 0) { throw 'the firewall could not be exported; nothing was changed' }\n}"},
			{"If you are not at the console, let the host undo this by itself after ten minutes. Once a new session has worked: Unregister-ScheduledTask -TaskName '" + d.id + "-undo' -Confirm:$false",
				"# Register-ScheduledTask -TaskName '" + d.id + "-undo' -User SYSTEM -RunLevel Highest -Force `\n" +
					"#     -Action (New-ScheduledTaskAction -Execute netsh.exe -Argument \"advfirewall import $env:SystemRoot\\" + d.id + "-firewall-before.wfw\") `\n" +
					"#     -Trigger (New-ScheduledTaskTrigger -Once -At (Get-Date).AddMinutes(10)) `\n" +
					"#     -Settings (New-ScheduledTaskSettingsSet -AllowStartIfOnBatteries -StartWhenAvailable) | Out-Null"},
			{"The policy's rules come first, so that a way in is open before others close.",
				"Get-NetFirewallRule -Group '" + ours + "' -ErrorAction SilentlyContinue | Remove-NetFirewallRule\n" + strings.Join(rules, "\n")},
			{"Switch off every other inbound rule that allows something. Of Core Networking, the tunnels go too.",
				"$tunnels = 'CoreNet-Teredo-In', 'CoreNet-IPHTTPS-In'\n" +
					"Get-NetFirewallRule -Direction Inbound -Action Allow -Enabled True |\n" +
					"    Where-Object { $_.Group -ne '" + ours + "' -and ($_.Group -ne '@FirewallAPI.dll,-25000' -or $_.Name -in $tunnels) } |\n" +
					"    Disable-NetFirewallRule"},
			{"Block by default, with the firewall on, on every profile.", "Set-NetFirewallProfile -Profile Domain, Private, Public -Enabled True -DefaultInboundAction Block -AllowInboundRules True"},
		},
		Undo: []Step{
			{"Import what was there. Without the file there is nothing to undo.",
				"if (Test-Path " + backup + ") {\n    netsh advfirewall import " + backup + "\n    if ($LASTEXITCODE -eq 0) { Remove-Item " + backup + " }\n}"},
		},
		Check: []Step{
			{"What is in force on each profile.", "Get-NetFirewallProfile -PolicyStore ActiveStore | Select-Object Name, Enabled, DefaultInboundAction, AllowInboundRules, AllowLocalFirewallRules"},
			{"Which inbound rules allow something.", "Get-NetFirewallRule -PolicyStore ActiveStore -Direction Inbound -Action Allow -Enabled True | Select-Object DisplayName, Group, Profile, PolicyStoreSourceType"},
			{"The whole rule set, for connsec firewall check.", WindowsExport},
		},
	}, nil
}
