package ldapsec

import (
	"strings"
	"unicode"

	"github.com/connsec/connsec/internal/ldapwire"
)

// resultName is the name that RFC 4511, appendix A gives a result code; empty for others.
func resultName(code int) string {
	switch code {
	case ldapwire.ResultSuccess:
		return "success"
	case ldapwire.ResultOperationsError:
		return "operationsError"
	case ldapwire.ResultProtocolError:
		return "protocolError"
	case ldapwire.ResultTimeLimitExceeded:
		return "timeLimitExceeded"
	case ldapwire.ResultSizeLimitExceeded:
		return "sizeLimitExceeded"
	case ldapwire.ResultAuthMethodNotSupported:
		return "authMethodNotSupported"
	case ldapwire.ResultStrongerAuthRequired:
		return "strongerAuthRequired"
	case ldapwire.ResultReferral:
		return "referral"
	case ldapwire.ResultConfidentialityRequired:
		return "confidentialityRequired"
	case ldapwire.ResultSASLInProgress:
		return "saslBindInProgress"
	case ldapwire.ResultNoSuchObject:
		return "noSuchObject"
	case ldapwire.ResultInvalidDNSyntax:
		return "invalidDNSyntax"
	case ldapwire.ResultInappropriateAuth:
		return "inappropriateAuthentication"
	case ldapwire.ResultInvalidCredentials:
		return "invalidCredentials"
	case ldapwire.ResultInsufficientAccess:
		return "insufficientAccessRights"
	case ldapwire.ResultBusy:
		return "busy"
	case ldapwire.ResultUnavailable:
		return "unavailable"
	case ldapwire.ResultUnwilling:
		return "unwillingToPerform"
	}
	return ""
}

// oneLine makes a server's words fit to be shown: printable, one line, bounded.
func oneLine(s string) string {
	const most = 200
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		if unicode.IsSpace(r) {
			return ' '
		}
		return -1
	}, strings.ToValidUTF8(s, "?"))
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
