// Package ldapwire reads and writes LDAP messages (RFC 4511) byte by byte, for the probes
// that ask what a client library would never ask and for the traps that answer what no
// server would.
//
// Reading is bounded and strict where an attacker could profit: definite lengths only
// (RFC 4511, 5.1), a size limit that is checked before anything is allocated, single-octet
// tags. It is lenient where real servers differ: Active Directory writes lengths in five
// octets where one would do, so minimal encoding is not asked for. Writing is minimal.
package ldapwire

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

// MaxMessage bounds one message where the caller has no tighter limit. Root DSEs and bind
// answers are a few kilobytes; PAC-laden Kerberos tokens reach some tens.
const MaxMessage = 64 << 10

// Identifier octets (RFC 4511, 4.2 to 4.14).
const (
	TagBoolean    = 0x01
	TagInteger    = 0x02
	TagOctets     = 0x04
	TagEnumerated = 0x0a
	TagSequence   = 0x30
	TagSet        = 0x31

	OpBindRequest      = 0x60
	OpBindResponse     = 0x61
	OpUnbindRequest    = 0x42
	OpSearchRequest    = 0x63
	OpSearchEntry      = 0x64
	OpSearchDone       = 0x65
	OpSearchReference  = 0x73
	OpExtendedRequest  = 0x77
	OpExtendedResponse = 0x78

	AuthSimple = 0x80 // AuthenticationChoice.simple
	AuthSASL   = 0xa3 // AuthenticationChoice.sasl
	// The NTLM binds that Active Directory adds (MS-ADTS 5.1.1.1.3).
	AuthSicilyDiscovery = 0x89
	AuthSicilyNegotiate = 0x8a
	AuthSicilyResponse  = 0x8b
)

// OIDs of the things that the probes look for.
const (
	OIDStartTLS        = "1.3.6.1.4.1.1466.20037" // RFC 4511, 4.14
	OIDActiveDirectory = "1.2.840.113556.1.4.800" // LDAP_CAP_ACTIVE_DIRECTORY_OID, MS-ADTS 3.1.1.3.4.3
	OIDNoticeOfDisconn = "1.3.6.1.4.1.1466.20036" // RFC 4511, 4.4.1
)

// Result codes that decide verdicts (RFC 4511, appendix A).
const (
	ResultSuccess                 = 0
	ResultOperationsError         = 1
	ResultProtocolError           = 2
	ResultTimeLimitExceeded       = 3
	ResultSizeLimitExceeded       = 4
	ResultAuthMethodNotSupported  = 7
	ResultStrongerAuthRequired    = 8
	ResultReferral                = 10
	ResultConfidentialityRequired = 13
	ResultSASLInProgress          = 14
	ResultNoSuchObject            = 32
	ResultInvalidDNSyntax         = 34
	ResultInappropriateAuth       = 48
	ResultInvalidCredentials      = 49
	ResultInsufficientAccess      = 50
	ResultBusy                    = 51
	ResultUnavailable             = 52
	ResultUnwilling               = 53
)

var (
	// ErrNotLDAP says that the first bytes cannot begin an LDAP message.
	ErrNotLDAP = errors.New("the peer does not speak LDAP")
	// ErrTooLong says that a length exceeds what the reader accepts.
	ErrTooLong = errors.New("LDAP message exceeds the size limit")
	// ErrMalformed says that the bytes are not the BER that RFC 4511 asks for.
	ErrMalformed = errors.New("malformed LDAP message")
)

// Read reads exactly one message and not a byte more, so that what follows, such as a TLS
// handshake, is still unread. It refuses a message of more than max bytes before reading its
// body. io.EOF means that the peer closed between messages.
func Read(r io.Reader, max int) (Message, error) {
	var head [6]byte
	if _, err := io.ReadFull(r, head[:2]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return Message{}, fmt.Errorf("%w: the peer closed after one byte", ErrMalformed)
		}
		return Message{}, err
	}
	if head[0] != TagSequence {
		return Message{}, notLDAP(head[:2])
	}
	n, extra, err := lengthOctets(head[1])
	if err != nil {
		return Message{}, err
	}
	if extra > 0 {
		if _, err := io.ReadFull(r, head[2:2+extra]); err != nil {
			return Message{}, cut(err)
		}
		n = bigEndian(head[2 : 2+extra])
	}
	if n > uint64(max) {
		return Message{}, fmt.Errorf("%w: %d bytes announced, %d accepted", ErrTooLong, n, max)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return Message{}, cut(err)
	}
	return parseBody(body)
}

// Parse decodes one message that is complete in data.
func Parse(data []byte) (Message, error) {
	e, rest, err := next(data)
	if err != nil {
		return Message{}, err
	}
	if e.tag != TagSequence {
		return Message{}, notLDAP(data)
	}
	if len(rest) != 0 {
		return Message{}, fmt.Errorf("%w: %d bytes after the message", ErrMalformed, len(rest))
	}
	return parseBody(e.value)
}

// Message is one LDAPMessage envelope. Body aliases the buffer that was read.
type Message struct {
	ID   int32  // 0 is an unsolicited notification
	Op   byte   // identifier octet of the operation, one of the Op constants or unknown
	Body []byte // content of the operation
}

func parseBody(body []byte) (Message, error) {
	id, rest, err := next(body)
	if err != nil {
		return Message{}, err
	}
	n, err := id.integer(TagInteger)
	if err != nil {
		return Message{}, fmt.Errorf("message ID: %w", err)
	}
	if n < 0 || n > 1<<31-1 { // maxInt, RFC 4511, 4.1.1
		return Message{}, fmt.Errorf("%w: message ID %d is out of range", ErrMalformed, n)
	}
	op, rest, err := next(rest)
	if err != nil {
		return Message{}, err
	}
	if op.tag>>6 != 1 { // protocolOp is a choice of application tags only
		return Message{}, fmt.Errorf("%w: the operation has tag 0x%02x", ErrMalformed, op.tag)
	}
	// Controls, or extensions of a later protocol: skipped, but they must be well-formed.
	for len(rest) > 0 {
		if _, rest, err = next(rest); err != nil {
			return Message{}, err
		}
	}
	return Message{ID: int32(n), Op: op.tag, Body: op.value}, nil
}

// Result is an LDAPResult with what bind and extended responses add to it.
type Result struct {
	Code       int
	MatchedDN  string // also the challenge of a Sicily bind, see Challenge
	Diagnostic string
	Referrals  []string
	Creds      []byte // serverSaslCreds of a bind response
	Name       string // responseName of an extended response
}

// Result decodes the answer in m.
func (m Message) Result() (Result, error) {
	switch m.Op {
	case OpBindResponse, OpSearchDone, OpExtendedResponse:
	default:
		return Result{}, fmt.Errorf("%w: operation 0x%02x carries no result", ErrMalformed, m.Op)
	}
	var res Result
	code, rest, err := next(m.Body)
	if err != nil {
		return Result{}, err
	}
	n, err := code.integer(TagEnumerated)
	if err != nil {
		return Result{}, fmt.Errorf("result code: %w", err)
	}
	if n < 0 || n > 1<<16 {
		return Result{}, fmt.Errorf("%w: result code %d is out of range", ErrMalformed, n)
	}
	res.Code = int(n)
	var matched, diag element
	if matched, rest, err = nextOf(rest, TagOctets); err != nil {
		return Result{}, fmt.Errorf("matched DN: %w", err)
	}
	if diag, rest, err = nextOf(rest, TagOctets); err != nil {
		return Result{}, fmt.Errorf("diagnostic message: %w", err)
	}
	res.MatchedDN, res.Diagnostic = string(matched.value), string(diag.value)
	for len(rest) > 0 {
		var e element
		if e, rest, err = next(rest); err != nil {
			return Result{}, err
		}
		switch e.tag {
		case 0xa3:
			if res.Referrals, err = texts(e.value); err != nil {
				return Result{}, fmt.Errorf("referral: %w", err)
			}
		case 0x87:
			res.Creds = e.value
		case 0x8a:
			res.Name = string(e.value)
		}
	}
	return res, nil
}

// Challenge returns the NTLM message in an answer, wherever the server put it: a Sicily
// bind has it in place of the matched DN (MS-ADTS 5.1.1.1.3.3).
func (r Result) Challenge() []byte {
	if len(r.Creds) > 0 {
		return r.Creds
	}
	return []byte(r.MatchedDN)
}

// Attribute is one attribute of an entry with its values.
type Attribute struct {
	Name   string
	Values []string
}

// Entry decodes a search result entry.
func (m Message) Entry() (dn string, attrs []Attribute, err error) {
	if m.Op != OpSearchEntry {
		return "", nil, fmt.Errorf("%w: operation 0x%02x is no entry", ErrMalformed, m.Op)
	}
	name, rest, err := nextOf(m.Body, TagOctets)
	if err != nil {
		return "", nil, err
	}
	list, rest, err := nextOf(rest, TagSequence)
	if err != nil {
		return "", nil, err
	}
	if len(rest) != 0 {
		return "", nil, fmt.Errorf("%w: %d bytes after the attributes", ErrMalformed, len(rest))
	}
	for rest = list.value; len(rest) > 0; {
		var attr, typ, set element
		if attr, rest, err = nextOf(rest, TagSequence); err != nil {
			return "", nil, err
		}
		var inner []byte
		if typ, inner, err = nextOf(attr.value, TagOctets); err != nil {
			return "", nil, err
		}
		if set, _, err = nextOf(inner, TagSet); err != nil {
			return "", nil, err
		}
		values, err := texts(set.value)
		if err != nil {
			return "", nil, err
		}
		attrs = append(attrs, Attribute{string(typ.value), values})
	}
	return string(name.value), attrs, nil
}

// BindRequest is what a client sent to authenticate.
type BindRequest struct {
	Version   int
	Name      string
	Auth      byte   // one of the Auth constants
	Mechanism string // SASL only
	Creds     []byte // password, SASL credentials or NTLM token
}

// BindRequest decodes a bind request, as a trap receives it.
func (m Message) BindRequest() (BindRequest, error) {
	if m.Op != OpBindRequest {
		return BindRequest{}, fmt.Errorf("%w: operation 0x%02x is no bind request", ErrMalformed, m.Op)
	}
	version, rest, err := next(m.Body)
	if err != nil {
		return BindRequest{}, err
	}
	v, err := version.integer(TagInteger)
	if err != nil {
		return BindRequest{}, fmt.Errorf("version: %w", err)
	}
	name, rest, err := nextOf(rest, TagOctets)
	if err != nil {
		return BindRequest{}, fmt.Errorf("name: %w", err)
	}
	auth, _, err := next(rest)
	if err != nil {
		return BindRequest{}, err
	}
	b := BindRequest{Version: int(v), Name: string(name.value), Auth: auth.tag, Creds: auth.value}
	if auth.tag == AuthSASL {
		mech, rest, err := nextOf(auth.value, TagOctets)
		if err != nil {
			return BindRequest{}, fmt.Errorf("mechanism: %w", err)
		}
		b.Mechanism, b.Creds = string(mech.value), nil
		if len(rest) > 0 {
			creds, _, err := nextOf(rest, TagOctets)
			if err != nil {
				return BindRequest{}, fmt.Errorf("credentials: %w", err)
			}
			b.Creds = creds.value
		}
	}
	return b, nil
}

// SearchRequest is the part of a search request that traps answer by.
type SearchRequest struct {
	BaseDN string
	Scope  int
}

// SearchRequest decodes base and scope.
func (m Message) SearchRequest() (SearchRequest, error) {
	if m.Op != OpSearchRequest {
		return SearchRequest{}, fmt.Errorf("%w: operation 0x%02x is no search request", ErrMalformed, m.Op)
	}
	base, rest, err := nextOf(m.Body, TagOctets)
	if err != nil {
		return SearchRequest{}, err
	}
	scope, _, err := next(rest)
	if err != nil {
		return SearchRequest{}, err
	}
	n, err := scope.integer(TagEnumerated)
	if err != nil {
		return SearchRequest{}, err
	}
	return SearchRequest{string(base.value), int(n)}, nil
}

// ExtendedOID decodes the request name of an extended request.
func (m Message) ExtendedOID() (string, error) {
	if m.Op != OpExtendedRequest {
		return "", fmt.Errorf("%w: operation 0x%02x is no extended request", ErrMalformed, m.Op)
	}
	name, _, err := nextOf(m.Body, 0x80)
	return string(name.value), err
}

// element is one tag-length-value triple.
type element struct {
	tag   byte
	value []byte
}

// next splits the first element off data.
func next(data []byte) (element, []byte, error) {
	if len(data) < 2 {
		return element{}, nil, fmt.Errorf("%w: it ends within an element", ErrMalformed)
	}
	if data[0]&0x1f == 0x1f {
		return element{}, nil, fmt.Errorf("%w: tag 0x%02x has more than one octet", ErrMalformed, data[0])
	}
	n, extra, err := lengthOctets(data[1])
	if err != nil {
		return element{}, nil, err
	}
	rest := data[2:]
	if extra > 0 {
		if len(rest) < extra {
			return element{}, nil, fmt.Errorf("%w: it ends within a length", ErrMalformed)
		}
		n, rest = bigEndian(rest[:extra]), rest[extra:]
	}
	if n > uint64(len(rest)) {
		return element{}, nil, fmt.Errorf("%w: an element of %d bytes in %d", ErrMalformed, n, len(rest))
	}
	return element{data[0], rest[:n:n]}, rest[n:], nil
}

func nextOf(data []byte, tag byte) (element, []byte, error) {
	e, rest, err := next(data)
	if err == nil && e.tag != tag {
		err = fmt.Errorf("%w: tag 0x%02x where 0x%02x belongs", ErrMalformed, e.tag, tag)
	}
	return e, rest, err
}

// lengthOctets reads the first length octet: the length itself, or how many octets follow.
// Four are enough for anything; more, and the indefinite form, are refused.
func lengthOctets(first byte) (n uint64, extra int, err error) {
	switch {
	case first < 0x80:
		return uint64(first), 0, nil
	case first == 0x80:
		return 0, 0, fmt.Errorf("%w: indefinite length (RFC 4511, 5.1 forbids it)", ErrMalformed)
	case first > 0x84:
		return 0, 0, fmt.Errorf("%w: a length of %d octets", ErrTooLong, first&0x7f)
	default:
		return 0, int(first & 0x7f), nil
	}
}

func bigEndian(b []byte) (n uint64) {
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n
}

func (e element) integer(tag byte) (int64, error) {
	if e.tag != tag {
		return 0, fmt.Errorf("%w: tag 0x%02x where 0x%02x belongs", ErrMalformed, e.tag, tag)
	}
	if len(e.value) == 0 || len(e.value) > 8 {
		return 0, fmt.Errorf("%w: an integer of %d bytes", ErrMalformed, len(e.value))
	}
	n := int64(int8(e.value[0]))
	for _, c := range e.value[1:] {
		n = n<<8 | int64(c)
	}
	return n, nil
}

func texts(data []byte) (out []string, err error) {
	for len(data) > 0 {
		var e element
		if e, data, err = nextOf(data, TagOctets); err != nil {
			return nil, err
		}
		out = append(out, string(e.value))
	}
	return out, nil
}

func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: the peer closed within it", ErrMalformed)
	}
	return err
}

// notLDAP names the protocol where the first bytes give it away.
func notLDAP(b []byte) error {
	hint := "it begins with " + strconv.QuoteToASCII(string(b[:min(len(b), 2)]))
	switch {
	case b[0] == 0x15 || b[0] == 0x16:
		hint = "it answers with a TLS record, so this is a port for implicit TLS"
	case !utf8.Valid(b):
		hint = fmt.Sprintf("it begins with 0x%x", b[:min(len(b), 2)])
	}
	return fmt.Errorf("%w: %s", ErrNotLDAP, hint)
}
