// Package audit checks a whole deployment: one file names every connection, one call looks at
// all of them at once and gives one report.
//
// # The file
//
// A deployment file is YAML with one section per kind of connection and one item per
// endpoint. It is read strictly: an unknown key, a wrong type, a second document or an alias
// is an error with line and column. Paths are relative to the file. Passwords stand in files
// of their own, never in the deployment file. docs/deployment.yaml shows every section; the
// fields of [Deployment] say what their keys mean.
//
//	name: Central Server, production
//	ca: [corp-root.pem]               # trust anchors; without: the system's
//	https:
//	  - host: central.corp.example
//	    port: 8093
//	http:
//	  - host: central.corp.example
//	    port: 8083
//	certificates:
//	  - dir: C:\ProgramData\MyQ Central Server\Cert
//	    name: central.corp.example
//	securl:
//	  - list: recipients.csv            # or method: md5, or a column of a database
//	    column: Password
//	waivers:
//	  - rule: tls-group-classical
//	    reason: the load balancer's next release has it (ticket 4711)
//	    until: 2027-06-30
//
// # The run
//
// [Deployment.Run] starts every check at once, bounded by [Options.Parallel], under the
// context's deadline: an audit takes as long as its slowest endpoint, and a dead host delays
// nothing else. What could not be looked at is a finding too, Inconclusive. Each finding
// carries the place in the file that names the endpoint.
package audit
