package tlscheck

import (
	"crypto"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	encoding_asn1 "encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
	"software.sslmate.com/src/go-pkcs12"
)

// Decoding and decryption are go-pkcs12's. It hides the algorithms and takes only files with a
// key, a certificate and a MAC, so this file reads the structure of RFC 7292 itself, and
// rewraps what go-pkcs12 would refuse into a shape that it takes.

// PFXFacts is how a PFX file is protected, read from its ASN.1 without a password.
type PFXFacts struct {
	MAC           string    `json:"mac,omitempty"` // algorithm, such as "HMAC-SHA-256"; empty: none
	MACIterations int       `json:"mac_iterations,omitempty"`
	Parts         []PFXPart `json:"parts"`
}

// PFXPart is one separately encrypted part of a PFX file.
type PFXPart struct {
	Holds      string `json:"holds"`                // "key", "certificates" or "encrypted contents"
	Algorithm  string `json:"algorithm,omitempty"`  // such as "AES-256"; empty: not encrypted
	Iterations int    `json:"iterations,omitempty"` // of the key derivation
}

// pfxFile is a parsed, still encrypted PFX.
type pfxFile struct {
	raw         []byte
	unsupported string   // what go-pkcs12 does not implement
	contents    [][]byte // the ContentInfo elements of the AuthenticatedSafe
	facts       PFXFacts
	macKnown    bool  // go-pkcs12 can verify the MAC
	workToTry   int64 // iterations that one wrong password costs
	work        int64 // iterations that opening it costs
}

// maxKDFWork bounds the iterations that a file asks for, some of which are made several times while
// it is opened; OWASP asks for 600 000 per derivation, and a file has up to three. A hostile file
// could ask for 2^31 – also within an encrypted part, where they cannot be counted: see
// refuseHiddenKeys.
const maxKDFWork = 4_000_000

var (
	errWrongPassword = errors.New("the password does not open it")
	errBER           = errors.New("it is in BER with indefinite lengths, which is not read here; convert it with openssl pkcs12")
	errTooMuchWork   = fmt.Errorf("its key derivation asks for more than %d iterations", maxKDFWork)
	errNotPFX        = errors.New("it is not a complete PFX (PKCS #12) file")
)

// unsupportedError says which algorithm is not implemented: a limit of this package, not a
// defect of the file.
type unsupportedError string

func (e unsupportedError) Error() string { return "its " + string(e) + " is not supported here" }

// protection orders the encryption and MAC algorithms of key files.
type protection uint8

const (
	protectionUnknown protection = iota
	protectionBroken             // searched through in minutes
	protectionWeak               // deprecated
	protectionGood
)

type fileAlgorithm struct {
	name       string
	protection protection
}

// The password-based encryption schemes of RFC 7292 appendix C and RFC 8018 appendix A.3, A.4.
var pbeAlgorithms = map[string]fileAlgorithm{
	"1.2.840.113549.1.12.1.1": {"RC4-128", protectionWeak},
	"1.2.840.113549.1.12.1.2": {"RC4-40", protectionBroken},
	"1.2.840.113549.1.12.1.3": {"3DES", protectionWeak},
	"1.2.840.113549.1.12.1.4": {"2-key 3DES", protectionWeak},
	"1.2.840.113549.1.12.1.5": {"RC2-128", protectionWeak},
	"1.2.840.113549.1.12.1.6": {"RC2-40", protectionBroken},
	"1.2.840.113549.1.5.1":    {"DES with MD2", protectionBroken},
	"1.2.840.113549.1.5.3":    {"DES with MD5", protectionBroken},
	"1.2.840.113549.1.5.4":    {"RC2-64 with MD2", protectionBroken},
	"1.2.840.113549.1.5.6":    {"RC2-64 with MD5", protectionBroken},
	"1.2.840.113549.1.5.10":   {"DES with SHA-1", protectionBroken},
	"1.2.840.113549.1.5.11":   {"RC2-64 with SHA-1", protectionBroken},
}

// The ciphers of PBES2, RFC 8018 appendix B.2 and RFC 5649, with what Windows and OpenSSL write.
var pbes2Ciphers = map[string]fileAlgorithm{
	"1.3.14.3.2.7":              {"DES", protectionBroken},
	"1.2.840.113549.3.2":        {"RC2", protectionWeak},
	"1.2.840.113549.3.7":        {"3DES", protectionWeak},
	"2.16.840.1.101.3.4.1.2":    {"AES-128", protectionGood},
	"2.16.840.1.101.3.4.1.22":   {"AES-192", protectionGood},
	"2.16.840.1.101.3.4.1.42":   {"AES-256", protectionGood},
	"2.16.840.1.101.3.4.1.6":    {"AES-128-GCM", protectionGood},
	"2.16.840.1.101.3.4.1.46":   {"AES-256-GCM", protectionGood},
	"1.2.410.200046.1.1.2":      {"ARIA-128", protectionGood},
	"1.2.410.200046.1.1.12":     {"ARIA-256", protectionGood},
	"1.2.392.200011.61.1.1.1.2": {"Camellia-128", protectionGood},
	"1.2.392.200011.61.1.1.1.4": {"Camellia-256", protectionGood},
}

var macAlgorithms = map[string]fileAlgorithm{
	"1.2.840.113549.2.5":     {"HMAC-MD5", protectionBroken},
	"1.3.14.3.2.26":          {"HMAC-SHA-1", protectionWeak},
	"2.16.840.1.101.3.4.2.4": {"HMAC-SHA-224", protectionGood},
	"2.16.840.1.101.3.4.2.1": {"HMAC-SHA-256", protectionGood},
	"2.16.840.1.101.3.4.2.2": {"HMAC-SHA-384", protectionGood},
	"2.16.840.1.101.3.4.2.3": {"HMAC-SHA-512", protectionGood},
	oidPBMAC1:                {"PBMAC1", protectionGood}, // RFC 9579
}

// protectionOf is the inverse of the name that stands in [PFXFacts].
func protectionOf(name string) protection {
	for _, table := range []map[string]fileAlgorithm{pbeAlgorithms, pbes2Ciphers, macAlgorithms} {
		for _, a := range table {
			if a.name == name {
				return a.protection
			}
		}
	}
	return protectionUnknown
}

const (
	oidPBES2         = "1.2.840.113549.1.5.13"
	oidPBMAC1        = "1.2.840.113549.1.5.14"
	oidPBKDF2        = "1.2.840.113549.1.5.12"
	oidData          = "1.2.840.113549.1.7.1"
	oidSignedData    = "1.2.840.113549.1.7.2"
	oidEncryptedData = "1.2.840.113549.1.7.6"
	oidKeyBag        = "1.2.840.113549.1.12.10.1.1"
	oidShroudedBag   = "1.2.840.113549.1.12.10.1.2"
	oidCertBag       = "1.2.840.113549.1.12.10.1.3"
	oidX509Bag       = "1.2.840.113549.1.9.22.1"
	oidHMACSHA256    = "1.2.840.113549.2.9"
)

var explicit0 = asn1.Tag(0).Constructed().ContextSpecific()

// parsePFX reads the structure. The errors are errBER and errNotPFX.
func parsePFX(data []byte) (*pfxFile, error) {
	if len(data) > 2 && data[0] == 0x30 && data[1] == 0x80 {
		return nil, errBER
	}
	p := &pfxFile{raw: data}
	s := cryptobyte.String(data)
	var pfx, authSafe, explicit, octets cryptobyte.String
	var version int
	var contentType encoding_asn1.ObjectIdentifier
	if !s.ReadASN1(&pfx, asn1.SEQUENCE) || !pfx.ReadASN1Integer(&version) || version != 3 ||
		!pfx.ReadASN1(&authSafe, asn1.SEQUENCE) || !authSafe.ReadASN1ObjectIdentifier(&contentType) {
		return nil, errNotPFX
	}
	if contentType.String() != oidData { // signedData: integrity by public key, RFC 7292 §3.1; nobody writes it
		return nil, errNotPFX
	}
	if !authSafe.ReadASN1(&explicit, explicit0) {
		return nil, errNotPFX
	}
	if len(explicit) > 2 && explicit[0] == 0x24 { // constructed OCTET STRING, BER only
		return nil, errBER
	}
	if !explicit.ReadASN1(&octets, asn1.OCTET_STRING) || !p.readAuthenticatedSafe(octets) {
		return nil, errNotPFX
	}
	if !pfx.Empty() && !p.readMAC(pfx) {
		return nil, errNotPFX
	}
	return p, nil
}

func (p *pfxFile) readAuthenticatedSafe(octets cryptobyte.String) bool {
	var safe cryptobyte.String
	if !octets.ReadASN1(&safe, asn1.SEQUENCE) {
		return false
	}
	const most = 64 // parts; two are usual
	for !safe.Empty() && len(p.contents) < most {
		var element, inside, explicit cryptobyte.String
		var contentType encoding_asn1.ObjectIdentifier
		if !safe.ReadASN1Element(&element, asn1.SEQUENCE) {
			return false
		}
		p.contents = append(p.contents, element)
		if !element.ReadASN1(&inside, asn1.SEQUENCE) || !inside.ReadASN1ObjectIdentifier(&contentType) || !inside.ReadASN1(&explicit, explicit0) {
			return false
		}
		switch contentType.String() {
		case oidData:
			var octets, bags cryptobyte.String
			if !explicit.ReadASN1(&octets, asn1.OCTET_STRING) || !octets.ReadASN1(&bags, asn1.SEQUENCE) || !p.readBags(bags) {
				return false
			}
		case oidEncryptedData:
			var data, info cryptobyte.String
			var version int
			var inner encoding_asn1.ObjectIdentifier
			if !explicit.ReadASN1(&data, asn1.SEQUENCE) || !data.ReadASN1Integer(&version) ||
				!data.ReadASN1(&info, asn1.SEQUENCE) || !info.ReadASN1ObjectIdentifier(&inner) {
				return false
			}
			part := PFXPart{Holds: "encrypted contents"}
			if !p.readPBE(&info, &part) {
				return false
			}
			p.facts.Parts = append(p.facts.Parts, part)
		default: // envelopedData: encrypted for a public key
			p.facts.Parts = append(p.facts.Parts, PFXPart{Holds: "encrypted contents", Algorithm: contentType.String()})
			p.unsupported = "encryption (for a public key)"
		}
	}
	return safe.Empty()
}

// readBags notes what stands in a part that is not encrypted as a whole.
func (p *pfxFile) readBags(bags cryptobyte.String) bool {
	certificates := false
	for !bags.Empty() {
		var bag, value, info cryptobyte.String
		var id encoding_asn1.ObjectIdentifier
		if !bags.ReadASN1(&bag, asn1.SEQUENCE) || !bag.ReadASN1ObjectIdentifier(&id) || !bag.ReadASN1(&value, explicit0) {
			return false
		}
		switch id.String() {
		case oidKeyBag:
			p.facts.Parts = append(p.facts.Parts, PFXPart{Holds: "key"})
		case oidShroudedBag:
			part := PFXPart{Holds: "key"}
			if !value.ReadASN1(&info, asn1.SEQUENCE) || !p.readPBE(&info, &part) {
				return false
			}
			p.facts.Parts = append(p.facts.Parts, part)
		case oidCertBag:
			if !certificates {
				p.facts.Parts = append(p.facts.Parts, PFXPart{Holds: "certificates"})
			}
			certificates = true
		}
	}
	return true
}

// readPBE reads an AlgorithmIdentifier of password-based encryption into part, and counts its
// work.
func (p *pfxFile) readPBE(s *cryptobyte.String, part *PFXPart) bool {
	scheme, ok := readPBE(s)
	part.Algorithm, part.Iterations = scheme.algorithm, scheme.iterations
	p.work += int64(scheme.iterations)
	if ok && !scheme.supported {
		p.unsupported = "encryption (" + scheme.algorithm + ")"
	}
	return ok
}

// pbeScheme is one way of password-based encryption.
type pbeScheme struct {
	algorithm  string // name, or dotted OID if it is not known
	iterations int
	supported  bool // by go-pkcs12
}

func readPBE(s *cryptobyte.String) (scheme pbeScheme, ok bool) {
	oid, params, ok := readAlgorithm(s)
	if !ok {
		return scheme, false
	}
	if oid != oidPBES2 {
		known, is := pbeAlgorithms[oid]
		if !is {
			return pbeScheme{algorithm: oid}, true
		}
		scheme.algorithm = known.name
		switch known.name {
		case "3DES", "RC2-128", "RC2-40":
			scheme.supported = true
		}
		scheme.iterations, ok = readSaltAndCount(&params)
		return scheme, ok
	}
	kdf, kdfParams, ok := readAlgorithm(&params)
	if !ok {
		return scheme, false
	}
	if scheme.algorithm, _, ok = readAlgorithm(&params); !ok {
		return scheme, false
	}
	if known, is := pbes2Ciphers[scheme.algorithm]; is {
		scheme.algorithm = known.name
	}
	if kdf != oidPBKDF2 { // scrypt: no iterations
		scheme.algorithm += " with key derivation " + kdf
		return scheme, true
	}
	if scheme.iterations, ok = readSaltAndCount(&kdfParams); !ok {
		return scheme, false
	}
	switch scheme.algorithm {
	case "AES-128", "AES-192", "AES-256":
		scheme.supported = supportedPRF(kdfParams)
	}
	return scheme, true
}

// supportedPRF reads the rest of PBKDF2 parameters, RFC 8018 appendix A.2.
func supportedPRF(params cryptobyte.String) bool {
	var length int
	if params.PeekASN1Tag(asn1.INTEGER) && !params.ReadASN1Integer(&length) {
		return false
	}
	if params.Empty() {
		return true // DEFAULT hmacWithSHA1
	}
	prf, _, ok := readAlgorithm(&params)
	return ok && (prf == "1.2.840.113549.2.7" || prf == oidHMACSHA256 || prf == "1.2.840.113549.2.11") // SHA-1, 256, 512
}

// readAlgorithm reads an AlgorithmIdentifier; params is the inside of its parameters, empty
// if they are missing or no SEQUENCE.
func readAlgorithm(s *cryptobyte.String) (oid string, params cryptobyte.String, ok bool) {
	var alg cryptobyte.String
	var id encoding_asn1.ObjectIdentifier
	if !s.ReadASN1(&alg, asn1.SEQUENCE) || !alg.ReadASN1ObjectIdentifier(&id) {
		return "", nil, false
	}
	alg.ReadOptionalASN1(&params, nil, asn1.SEQUENCE)
	return id.String(), params, true
}

// readSaltAndCount reads what PBES1, PKCS #12 PBE and PBKDF2 parameters begin with.
func readSaltAndCount(params *cryptobyte.String) (int, bool) {
	var salt cryptobyte.String
	var count int64
	if !params.ReadASN1(&salt, asn1.OCTET_STRING) || !params.ReadASN1Integer(&count) || count < 1 || count > 1<<31-1 {
		return 0, false
	}
	return int(count), true
}

func (p *pfxFile) readMAC(pfx cryptobyte.String) bool {
	var mac, digestInfo, digest, salt cryptobyte.String
	if !pfx.ReadASN1(&mac, asn1.SEQUENCE) || !mac.ReadASN1(&digestInfo, asn1.SEQUENCE) {
		return false
	}
	oid, params, ok := readAlgorithm(&digestInfo)
	count := int64(1) // DEFAULT, RFC 7292 §4
	if !ok || !digestInfo.ReadASN1(&digest, asn1.OCTET_STRING) || !mac.ReadASN1(&salt, asn1.OCTET_STRING) ||
		!mac.Empty() && !mac.ReadASN1Integer(&count) {
		return false
	}
	if oid == oidPBMAC1 { // its own parameters count, and the other numbers mean nothing (RFC 9579 §3)
		_, kdfParams, ok := readAlgorithm(&params)
		if !ok {
			return false
		}
		n, ok := readSaltAndCount(&kdfParams)
		if !ok {
			return false
		}
		count = int64(n)
	}
	if count < 1 || count > 1<<31-1 {
		return false
	}
	p.facts.MAC, p.facts.MACIterations = oid, int(count)
	if known, is := macAlgorithms[oid]; is {
		p.facts.MAC = known.name
	}
	switch p.facts.MAC {
	case "HMAC-SHA-1", "HMAC-SHA-256", "HMAC-SHA-512", "PBMAC1":
		p.macKnown = true
		p.workToTry = count
	}
	p.work += count
	return true
}

// pfxContents is what is in an opened PFX.
type pfxContents struct {
	key   crypto.Signer // nil: none
	certs []*x509.Certificate
}

// open decrypts with the password. The error is errWrongPassword, errTooMuchWork, an
// unsupportedError, or about the file; none carries the password.
func (p *pfxFile) open(password string) (pfxContents, error) {
	if p.work > maxKDFWork {
		return pfxContents{}, errTooMuchWork
	}
	if p.macKnown {
		// Of the functions that verify the MAC, this one derives nothing for a key.
		if _, err := pkcs12.DecodeTrustStore(p.raw, password); errors.Is(err, pkcs12.ErrIncorrectPassword) {
			return pfxContents{}, errWrongPassword
		}
		if err := p.refuseHiddenKeys(password); err != nil {
			return pfxContents{}, err
		}
		key, leaf, others, err := pkcs12.DecodeChain(p.raw, password)
		if err == nil {
			return makeContents(key, append([]*x509.Certificate{leaf}, others...))
		}
		if ofUnreadKey(err) {
			return pfxContents{}, unsupportedError("kind of key")
		}
	}
	if p.unsupported != "" {
		return pfxContents{}, unsupportedError(p.unsupported)
	}
	// No MAC, no key, no certificate, or more than two parts: one part at a time.
	var c pfxContents
	for _, content := range p.contents {
		part, err := openRewrapped(content, password)
		if errors.Is(err, errWrongPassword) && p.macKnown {
			err = errors.New("its contents do not decrypt, although the password is right")
		}
		if err != nil {
			return pfxContents{}, err
		}
		if part.key != nil {
			if c.key != nil {
				return pfxContents{}, errors.New("it holds more than one key")
			}
			c.key = part.key
		}
		c.certs = append(c.certs, part.certs...)
	}
	return c, nil
}

func makeContents(key any, certs []*x509.Certificate) (pfxContents, error) {
	if key == nil {
		return pfxContents{certs: certs}, nil
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return pfxContents{}, unsupportedError("kind of key")
	}
	return pfxContents{signer, certs}, nil
}

// errHiddenKey: nobody is known to write such files, and the key may be encrypted once more, with
// any number of iterations.
var errHiddenKey = unsupportedError("structure, with a key inside an encrypted part,")

// refuseHiddenKeys looks into the encrypted parts, once the MAC has accepted the password. go-pkcs12
// decrypts a key as soon as it comes to it, but not a second one: behind the stand-in's, one in
// an encrypted part is found without being decrypted.
func (p *pfxFile) refuseHiddenKeys(password string) error {
	for _, content := range p.contents {
		if !isEncrypted(content) {
			continue
		}
		switch _, err := openRewrapped(content, password); {
		case errors.Is(err, errHiddenKey):
			return err
		case errors.Is(err, errWrongPassword) && password == "":
			return unsupportedError("kind of empty password") // there are two, and this looks under one
		}
	}
	return nil
}

// hasKey recognises how go-pkcs12 refuses a second key.
func hasKey(err error) bool { return strings.Contains(err.Error(), "exactly one key bag") }

// isEncrypted reports whether a ContentInfo is encrypted as a whole.
func isEncrypted(content []byte) bool {
	s := cryptobyte.String(content)
	var inside cryptobyte.String
	var id encoding_asn1.ObjectIdentifier
	return s.ReadASN1(&inside, asn1.SEQUENCE) && inside.ReadASN1ObjectIdentifier(&id) && id.String() == oidEncryptedData
}

// openRewrapped opens one ContentInfo by putting it into a PFX of our own making, together
// with a stand-in key and certificate, because go-pkcs12 insists on one of each.
func openRewrapped(content []byte, password string) (pfxContents, error) {
	standIn, err := newStandIn()
	if err != nil {
		return pfxContents{}, err
	}
	var first error
	for _, bags := range [][][]byte{{standIn.certBag, standIn.keyBag}, {standIn.certBag}} {
		wrapped, err := wrapPFX(password, content, bags)
		if err != nil {
			return pfxContents{}, err
		}
		key, leaf, others, err := pkcs12.DecodeChain(wrapped, password)
		if err != nil {
			if first == nil {
				first = err
			}
			switch {
			case ofUnreadKey(err):
				return pfxContents{}, unsupportedError("kind of key")
			case hasKey(err) && isEncrypted(content):
				return pfxContents{}, errHiddenKey
			}
			continue // it may have a key of its own, and two are refused
		}
		var certs []*x509.Certificate
		for _, c := range append([]*x509.Certificate{leaf}, others...) {
			if !c.Equal(standIn.cert) {
				certs = append(certs, c)
			}
		}
		if k, ok := key.(ed25519.PrivateKey); ok && k.Equal(standIn.key) {
			key = nil
		}
		return makeContents(key, certs)
	}
	var unsupported pkcs12.NotImplementedError
	if errors.As(first, &unsupported) {
		return pfxContents{}, unsupportedError("structure")
	}
	// Without a MAC there is no telling a wrong password from damage.
	return pfxContents{}, errWrongPassword
}

// standIn is a key and certificate that fill a place and mean nothing.
type standIn struct {
	key             ed25519.PrivateKey
	cert            *x509.Certificate
	keyBag, certBag []byte
}

func newStandIn() (*standIn, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	s := &standIn{key: key, cert: cert}
	if s.keyBag, err = makeBag(oidKeyBag, func(b *cryptobyte.Builder) { b.AddBytes(pkcs8) }); err != nil {
		return nil, err
	}
	s.certBag, err = makeBag(oidCertBag, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addOID(b, oidX509Bag)
			b.AddASN1(explicit0, func(b *cryptobyte.Builder) { b.AddASN1OctetString(der) })
		})
	})
	return s, err
}

// openPKCS8 decrypts an EncryptedPrivateKeyInfo (RFC 5958 §3), which is what a shrouded key
// bag holds.
func openPKCS8(der []byte, password string) (crypto.Signer, error) {
	s := cryptobyte.String(der)
	var info cryptobyte.String
	if !s.ReadASN1(&info, asn1.SEQUENCE) {
		return nil, errors.New("it is not an encrypted key")
	}
	scheme, ok := readPBE(&info)
	switch {
	case !ok:
		return nil, errors.New("it is not an encrypted key")
	case !scheme.supported:
		return nil, unsupportedError("encryption (" + scheme.algorithm + ")")
	case scheme.iterations > maxKDFWork:
		return nil, errTooMuchWork
	}
	bag, err := makeBag(oidShroudedBag, func(b *cryptobyte.Builder) { b.AddBytes(der) })
	if err != nil {
		return nil, err
	}
	content, err := makeDataContent(bag)
	if err != nil {
		return nil, err
	}
	c, err := openRewrapped(content, password)
	if err == nil && c.key == nil {
		err = errors.New("it holds no key")
	}
	return c.key, err
}

// makeBag is a SafeBag, RFC 7292 §4.2.
func makeBag(id string, value cryptobyte.BuilderContinuation) ([]byte, error) {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addOID(b, id)
		b.AddASN1(explicit0, value)
	})
	return b.Bytes()
}

// makeDataContent is an unencrypted ContentInfo with SafeContents, RFC 7292 §4.1.
func makeDataContent(bags ...[]byte) ([]byte, error) {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addOID(b, oidData)
		b.AddASN1(explicit0, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.OCTET_STRING, func(b *cryptobyte.Builder) {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					for _, bag := range bags {
						b.AddBytes(bag)
					}
				})
			})
		})
	})
	return b.Bytes()
}

// wrapPFX makes a PFX of a given ContentInfo and one with bags, under a MAC (PBMAC1, RFC 9579)
// of a single iteration: it never leaves this process.
func wrapPFX(password string, content []byte, bags [][]byte) ([]byte, error) {
	more, err := makeDataContent(bags...)
	if err != nil {
		return nil, err
	}
	safe := cryptobyte.NewBuilder(nil)
	safe.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(more) // first: see refuseHiddenKeys
		b.AddBytes(content)
	})
	safeDER, err := safe.Bytes()
	if err != nil {
		return nil, err
	}
	salt := []byte("rewrapped")
	key, err := pbkdf2.Key(sha256.New, password, salt, 1, sha256.Size)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(safeDER)

	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(3)
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addOID(b, oidData)
			b.AddASN1(explicit0, func(b *cryptobyte.Builder) { b.AddASN1OctetString(safeDER) })
		})
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { // MacData
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					addOID(b, oidPBMAC1)
					b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
							addOID(b, oidPBKDF2)
							b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
								b.AddASN1OctetString(salt)
								b.AddASN1Int64(1)
								b.AddASN1Int64(sha256.Size)
								addHMACSHA256(b)
							})
						})
						addHMACSHA256(b)
					})
				})
				b.AddASN1OctetString(mac.Sum(nil))
			})
			b.AddASN1OctetString(salt)
		})
	})
	return b.Bytes()
}

func addHMACSHA256(b *cryptobyte.Builder) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addOID(b, oidHMACSHA256)
		b.AddASN1NULL()
	})
}

func addOID(b *cryptobyte.Builder, dotted string) {
	oid, err := x509.ParseOID(dotted)
	if err != nil {
		b.SetError(err)
		return
	}
	der, err := oid.MarshalBinary()
	if err != nil {
		b.SetError(err)
		return
	}
	b.AddASN1(asn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes(der) })
}
