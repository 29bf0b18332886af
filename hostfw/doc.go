// Package hostfw plans the firewall of a host that lets only HTTPS in, evaluates rule sets that
// were exported from one, and tells from outside whether the evaluation is what happens.
//
// The threat is everyone who can send packets to a server: what listens without need or without
// TLS is found by scanners within minutes, and a rule set of a hundred lines hides one that opens
// it. Reading rules is what people get wrong; so here they are evaluated.
//
// # Plan
//
// [Policy] says what gets in: HTTPS from everywhere, and services from their clients.
// [Policy.Validate] judges it, and [Policy.Plan] writes the commands for Windows (PowerShell or
// netsh), nftables, ufw or firewalld, with the way back. They are text; nothing here runs them.
//
// # Check
//
// [Parse] reads what nft, iptables-save or Windows export, and [Combine] joins parts of one
// host. [Ruleset.Decide] follows one packet, and [Ruleset.Evaluate] all there are: exactly, by
// dividing them into boxes that share their fate, for both IP versions, every source, port,
// interface and profile. [Policy.Check] judges the result, each interface for itself: one that is
// trusted as a whole hides nothing of the others. An expression that is not modelled
// makes an answer [Unknown], only where it matters, and is named; findings then are inconclusive.
//
// A packet that is judged is the first of a connection over TCP or UDP, from outside (not through
// the loopback interface), to a unicast address of this host, from where its answer goes back to.
// Its sender may set flags of TCP, add headers of IPv6, or send until a limit is used up: what any
// of these packets is accepted for is open, and where only some are kept out the answer is
// [Unknown]. Elements of sets are taken as exported, even those that time out, unless rules add to
// them. For iptables, chains of iptables-legacy and of iptables-nft may be in force at once;
// iptables-save shows one of them, and "nft -j list ruleset" the second only.
//
// # Prove
//
// [Prober.Probe] connects to ports from outside, and [Ruleset.Compare] says where that differs
// from the evaluation and what it may mean: nothing listens, another filter is on the way, or the
// export is not what is in force.
//
// # Traces
//
// Plans and checks touch nothing. A probe makes one TCP connection to each port that the caller
// names, at one address of the host that the caller names, and closes it without sending a byte.
// Services log an empty connection; an intrusion detection system may report a scan.
//
// # What is not checked
//
// ICMP, multicast, broadcast, and what leaves the host or passes through it. A destination NAT to
// an address that may be another's (published containers) is followed both ways, without knowing
// by which interface packets leave. What a marked packet or the process behind a socket decides
// (meta mark, owner, eBPF, services of Windows) is not modelled, nor are connections that a helper
// of connection tracking expects ("related", FTP for one). UDP cannot be asked from outside:
// silence means nothing there. A cloud provider's own filter is in no export.
//
// References: nft(8), libnftables-json(5), iptables-extensions(8), the kernel's netfilter hooks
// and priorities (linux/netfilter_ipv4.h); Microsoft Learn, NetSecurity module and netsh
// advfirewall; NIST SP 800-41 Rev. 1; CIS Controls v8, 4.4; RFC 7123.
package hostfw
