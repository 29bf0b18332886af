package circlehttps

import "github.com/connsec/connsec"

// RulePort80: port 80 is open exactly if the project still needs it.
var RulePort80 = &connsec.Rule{
	ID: "circle-port-80", Title: "Port 80 is not as the project's exceptions say",
	Why:      "Circle neither closes port 80 nor redirects it. Open without need, pages, recipient keys and passwords can still be had over HTTP; closed with need, e-mail, PDF on demand and XMPieRURL addresses stop working.",
	Fix:      "Close port 80 or let it redirect to HTTPS if nothing needs it; otherwise state in the project what does.",
	Severity: connsec.Medium, Refs: []connsec.Citation{guide}, Since: "0.1.0",
}

// RuleNoRedirect: who asks over HTTP is sent to HTTPS.
var RuleNoRedirect = &connsec.Rule{
	ID: "circle-no-redirect", Title: "The site is served over HTTP without a redirect to HTTPS",
	Why:      "Circle does not redirect: a typed address or an old link stays on HTTP, with the recipient key in it.",
	Fix:      "Add the HTTP Redirect module of IIS to the site, with the https address as its target.",
	Severity: connsec.Medium, Refs: []connsec.Citation{guide}, Since: "0.1.0",
}

// RuleHSTS: browsers are told to stay on HTTPS.
var RuleHSTS = &connsec.Rule{
	ID: "circle-hsts", Title: "The site does not tell browsers to stay on HTTPS",
	Why:      "Without Strict-Transport-Security each visit that begins with http:// can be kept on HTTP by anyone on the path.",
	Fix:      "Add the header Strict-Transport-Security: max-age=31536000 to the site's HTTPS answers.",
	Severity: connsec.Low, Refs: []connsec.Citation{rfc6797}, Since: "0.1.0",
}

// RuleConfigServed: the server has the xmpcfg.js of the folder.
var RuleConfigServed = &connsec.Rule{
	ID: "circle-config-served", Title: "The served xmpcfg.js is not the one in the folder",
	Why:      "What was checked and mended in the folder has not been published, or somebody changed the published file.",
	Fix:      "Publish xmpcfg.js, and look for caches that still hold the old one.",
	Severity: connsec.Medium, Refs: []connsec.Citation{guide}, Since: "0.1.0",
}

// RuleAPIHTTPS: the XMPL server answers over HTTPS.
var RuleAPIHTTPS = &connsec.Rule{
	ID: "circle-api-https", Title: "The XMPL server does not answer over HTTPS",
	Why:      "Pages over HTTPS can talk to it over HTTPS only. The certificate has to be installed on the default IIS site of the XMPL server, with its domain name.",
	Fix:      "Install the certificate on the default IIS site and bind port 443 to it; see the prerequisites.",
	Severity: connsec.High, Refs: []connsec.Citation{kba90, mixedBlocked}, Since: "0.1.0",
}
