package tlswire

import "fmt"

// VersionSSL30 is SSL 3.0, which crypto/tls names only as deprecated.
const VersionSSL30 uint16 = 0x0300

// VersionName returns "SSL 3.0", "TLS 1.2" and so on, or the number.
func VersionName(v uint16) string {
	switch {
	case v == VersionSSL30:
		return "SSL 3.0"
	case v > 0x0300 && v <= 0x0304:
		return fmt.Sprintf("TLS 1.%d", v-0x0301)
	}
	return fmt.Sprintf("0x%04X", v)
}

// Key exchange groups (IANA "TLS Supported Groups").
const (
	GroupSecp256r1      uint16 = 23
	GroupSecp384r1      uint16 = 24
	GroupSecp521r1      uint16 = 25
	GroupX25519         uint16 = 29
	GroupX448           uint16 = 30
	GroupFFDHE2048      uint16 = 256
	GroupFFDHE3072      uint16 = 257
	GroupFFDHE4096      uint16 = 258
	GroupSecP256MLKEM   uint16 = 0x11eb // SecP256r1MLKEM768
	GroupX25519MLKEM    uint16 = 0x11ec // X25519MLKEM768
	GroupSecP384MLKEM   uint16 = 0x11ed // SecP384r1MLKEM1024
	groupX25519Kyber    uint16 = 0x6399 // X25519Kyber768Draft00, what browsers had before ML-KEM
	groupExplicitPrime  uint16 = 0xff01
	groupExplicitBinary uint16 = 0xff02
)

// GroupName returns the registered name, or the number.
func GroupName(g uint16) string {
	if g >= 1 && int(g) <= len(oldGroups) {
		return oldGroups[g-1]
	}
	switch g {
	case 34:
		return "GC256A"
	case 35:
		return "GC256B"
	case 36:
		return "GC256C"
	case 37:
		return "GC256D"
	case 38:
		return "GC512A"
	case 39:
		return "GC512B"
	case 40:
		return "GC512C"
	case 41:
		return "curveSM2"
	case GroupFFDHE2048, GroupFFDHE3072, GroupFFDHE4096:
		return fmt.Sprintf("ffdhe%d", 2048+1024*(int(g)-256))
	case 259:
		return "ffdhe6144"
	case 260:
		return "ffdhe8192"
	case 0x200:
		return "MLKEM512"
	case 0x201:
		return "MLKEM768"
	case 0x202:
		return "MLKEM1024"
	case GroupSecP256MLKEM:
		return "SecP256r1MLKEM768"
	case GroupX25519MLKEM:
		return "X25519MLKEM768"
	case GroupSecP384MLKEM:
		return "SecP384r1MLKEM1024"
	case 0x11ee:
		return "curveSM2MLKEM768"
	case groupX25519Kyber:
		return "X25519Kyber768Draft00"
	case 0x639a:
		return "SecP256r1Kyber768Draft00"
	case groupExplicitPrime:
		return "arbitrary_explicit_prime_curves"
	case groupExplicitBinary:
		return "arbitrary_explicit_char2_curves"
	}
	return fmt.Sprintf("0x%04X", g)
}

// oldGroups are numbers 1 to 33, without a gap (RFC 8422, 7027, 8734).
var oldGroups = [...]string{
	"sect163k1", "sect163r1", "sect163r2", "sect193r1", "sect193r2", "sect233k1", "sect233r1",
	"sect239k1", "sect283k1", "sect283r1", "sect409k1", "sect409r1", "sect571k1", "sect571r1",
	"secp160k1", "secp160r1", "secp160r2", "secp192k1", "secp192r1", "secp224k1", "secp224r1",
	"secp256k1", "secp256r1", "secp384r1", "secp521r1", "brainpoolP256r1", "brainpoolP384r1",
	"brainpoolP512r1", "x25519", "x448", "brainpoolP256r1tls13", "brainpoolP384r1tls13",
	"brainpoolP512r1tls13",
}

// PostQuantum reports whether the group is ML-KEM, alone or with a classical group, so that
// traffic recorded today stays closed to a later quantum computer. The drafts before the
// standard do not count.
func PostQuantum(g uint16) bool {
	return g >= 0x200 && g <= 0x202 || g >= GroupSecP256MLKEM && g <= 0x11ee
}

// Alert is a TLS alert.
type Alert struct {
	Level       uint8 `json:"level"` // 1 warning, 2 fatal
	Description uint8 `json:"description"`
}

// Alerts that decide something here.
const (
	AlertCloseNotify           = 0
	AlertHandshakeFailure      = 40
	AlertProtocolVersion       = 70
	AlertInsufficientSecurity  = 71
	AlertInappropriateFallback = 86
	AlertUnrecognizedName      = 112
)

// String returns the registered description, such as "handshake_failure".
func (a Alert) String() string {
	if name := alertNames[a.Description]; name != "" {
		return name
	}
	return fmt.Sprintf("alert %d", a.Description)
}

var alertNames = [256]string{
	0: "close_notify", 10: "unexpected_message", 20: "bad_record_mac", 21: "decryption_failed",
	22: "record_overflow", 30: "decompression_failure", 40: "handshake_failure", 41: "no_certificate",
	42: "bad_certificate", 43: "unsupported_certificate", 44: "certificate_revoked",
	45: "certificate_expired", 46: "certificate_unknown", 47: "illegal_parameter", 48: "unknown_ca",
	49: "access_denied", 50: "decode_error", 51: "decrypt_error", 52: "too_many_cids_requested",
	60: "export_restriction", 70: "protocol_version", 71: "insufficient_security",
	80: "internal_error", 86: "inappropriate_fallback", 90: "user_canceled", 100: "no_renegotiation",
	109: "missing_extension", 110: "unsupported_extension", 111: "certificate_unobtainable",
	112: "unrecognized_name", 113: "bad_certificate_status_response", 114: "bad_certificate_hash_value",
	115: "unknown_psk_identity", 116: "certificate_required", 120: "no_application_protocol",
	121: "ech_required",
}
