package ldapsec

import (
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
