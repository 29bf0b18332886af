package tlscheck

import (
	"bytes"
	"crypto"
	"crypto/x509"
	encoding_asn1 "encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/connsec/connsec"
)

// FileKind is what a file holds, told by its content and never by its name.
type FileKind string

// The kinds. Certificates in a PEM file with a key are FileKey, because the key decides how
// the file has to be kept.
const (
	FilePFX          FileKind = "pfx"          // PKCS #12
	FileCertificates FileKind = "certificates" // PEM or DER
	FileKey          FileKind = "key"          // PEM or DER; PKCS #1, SEC 1 or PKCS #8, encrypted or not
	FileRequest      FileKind = "request"      // certificate signing request
	FileCRL          FileKind = "crl"          // revocation list
	FilePKCS7        FileKind = "pkcs7"        // certificates as a .p7b bundle
	FileOther        FileKind = "other"        // nothing that belongs to a certificate
)

// maxKeyFile bounds what is read of any file of a set, in bytes.
const maxKeyFile = 1 << 20

// Classify tells what the content of a file is. It looks at the structure only: a file of a
// known kind can still turn out to be damaged.
func Classify(data []byte) FileKind {
	data = bytes.TrimPrefix(data, utf8BOM)
	kind := FileOther
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return FileKey
		case block.Type == "CERTIFICATE":
			kind = FileCertificates
		case kind != FileOther:
		case strings.HasSuffix(block.Type, "CERTIFICATE REQUEST"):
			kind = FileRequest
		case block.Type == "X509 CRL":
			kind = FileCRL
		case block.Type == "PKCS7":
			kind = FilePKCS7
		}
	}
	if kind != FileOther {
		return kind
	}
	return classifyDER(data)
}

func classifyDER(data []byte) FileKind {
	if len(data) > 2 && data[0] == 0x30 && data[1] == 0x80 && bytes.HasPrefix(data[2:], []byte{2, 1, 3}) {
		return FilePFX // in BER
	}
	s, version := cryptobyte.String(data), 0
	var outer, first, inner cryptobyte.String
	var id encoding_asn1.ObjectIdentifier
	if !s.ReadASN1(&outer, asn1.SEQUENCE) {
		return FileOther
	}
	head := outer
	switch {
	case head.PeekASN1Tag(asn1.INTEGER): // PKCS #1, SEC 1 and PKCS #8 begin with their version, too
		if head.ReadASN1Integer(&version) && version == 3 && head.PeekASN1Tag(asn1.SEQUENCE) {
			return FilePFX
		}
		return FileKey
	case head.PeekASN1Tag(asn1.OBJECT_IDENTIFIER):
		if head.ReadASN1ObjectIdentifier(&id) && id.String() == oidSignedData {
			return FilePKCS7
		}
		return FileOther
	case !head.ReadASN1(&first, asn1.SEQUENCE):
		return FileOther
	case first.PeekASN1Tag(asn1.OBJECT_IDENTIFIER):
		if head.PeekASN1Tag(asn1.OCTET_STRING) {
			return FileKey // EncryptedPrivateKeyInfo
		}
		return FileOther
	}
	if _, err := x509.ParseCertificates(data); err == nil {
		return FileCertificates
	}
	if _, err := x509.ParseCertificateRequest(data); err == nil {
		return FileRequest
	}
	if _, err := x509.ParseRevocationList(data); err == nil {
		return FileCRL
	}
	if first.ReadASN1(&inner, explicit0) {
		return FileCertificates // version [0] comes first in certificates only; it does not parse, and that is reported later
	}
	return FileOther
}

var utf8BOM = []byte("\ufeff")

// FileProblemKind sorts the reasons for which a file gives no facts.
type FileProblemKind string

// The kinds of problem.
const (
	FileMissing     FileProblemKind = "missing"
	FileUnreadable  FileProblemKind = "unreadable"  // it is not what it should be
	FileLocked      FileProblemKind = "locked"      // a password is needed, and none was given
	FileDenied      FileProblemKind = "denied"      // this process may not read it
	FileUnsupported FileProblemKind = "unsupported" // it is sound as far as can be told, but not read here
)

// FileProblem is why a file gives no facts, or not all. The zero value means that it does.
type FileProblem struct {
	Kind FileProblemKind `json:"kind,omitempty"`
	Text string          `json:"text,omitempty"`
}

// readBounded reads a regular file of sane size. The problem is one clause without the path.
func readBounded(path string) ([]byte, FileProblem) {
	info, err := os.Stat(path) // before opening: a pipe would block, and a device could do anything
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, FileProblem{FileMissing, "there is no such file"}
	case errors.Is(err, fs.ErrPermission):
		return nil, FileProblem{FileDenied, "this process may not read it"}
	case err != nil:
		return nil, FileProblem{FileUnreadable, pathless(err)}
	case info.IsDir():
		return nil, FileProblem{FileUnreadable, "it is a directory"}
	case !info.Mode().IsRegular():
		return nil, FileProblem{FileUnreadable, "it is not a regular file"}
	case info.Size() == 0:
		return nil, FileProblem{FileUnreadable, "it is empty"}
	case info.Size() > maxKeyFile:
		return nil, FileProblem{FileUnreadable, fmt.Sprintf("it has %d bytes, and nothing of the kind is larger than %d", info.Size(), maxKeyFile)}
	}
	f, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, FileProblem{FileDenied, "this process may not read it"}
	case err != nil:
		return nil, FileProblem{FileUnreadable, pathless(err)}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	switch {
	case err != nil:
		return nil, FileProblem{FileUnreadable, pathless(err)}
	case len(data) > maxKeyFile:
		return nil, FileProblem{FileUnreadable, "it grows while it is read"}
	}
	return data, FileProblem{}
}

func pathless(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return err.Error()
}

// wrongKind says what is there instead, where that helps.
func wrongKind(data []byte, kind FileKind, want string) FileProblem {
	text := "it holds no " + want
	switch {
	case kind == FilePFX:
		text = "it is a PFX file, not a " + want
	case kind == FileRequest:
		text = "it is a certificate request, which is what a CA gets, not a " + want
	case kind == FileCRL:
		text = "it is a revocation list, not a " + want
	case kind == FilePKCS7:
		text = "it is a PKCS #7 bundle, which servers do not load; convert it with openssl pkcs7 -print_certs"
	case kind == FileKey:
		text = "it holds a key, but no " + want
	case kind == FileCertificates:
		text = "it holds certificates, but no " + want
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}), bytes.HasPrefix(data, []byte{0xfe, 0xff}):
		text = "it is UTF-16 text; save it as ASCII or UTF-8"
	case bytes.Contains(data, []byte("-----BEGIN ")):
		text = "its PEM text is damaged"
	}
	return FileProblem{FileUnreadable, text}
}

// readCertificates finds the certificates of a PEM or DER file.
func readCertificates(data []byte) (Certificates, FileProblem) {
	data = bytes.TrimPrefix(data, utf8BOM)
	certs, err := ParseCertificates(data)
	if err == nil {
		return certs, FileProblem{}
	}
	if kind := Classify(data); kind != FileCertificates {
		return nil, wrongKind(data, kind, "certificate")
	}
	if name := unreadCertificate(data); name != "" {
		return nil, FileProblem{FileUnsupported, "its certificate has a key of the kind " + name + ", which is not read here, and which most clients do not take"}
	}
	return nil, FileProblem{FileUnreadable, "its certificate is damaged"}
}

// KeyFacts is what is known of a private key without having it.
type KeyFacts struct {
	Algorithm  string `json:"algorithm,omitempty"`  // such as "ECDSA P-256"; empty if the key could not be decrypted
	PublicKey  []byte `json:"public_key,omitempty"` // SubjectPublicKeyInfo in DER
	Encryption string `json:"encryption,omitempty"` // algorithm of the key's own encryption; empty: it stands in clear
}

// certifiedBy tells whether the certificate is for this key. Encodings of one key may differ
// (parameters absent or NULL), so unequal bytes are compared as keys; known is false for
// algorithms that crypto/x509 does not parse, such as id-RSASSA-PSS.
func (k *KeyFacts) certifiedBy(c *x509.Certificate) (match, known bool) {
	if string(c.RawSubjectPublicKeyInfo) == string(k.PublicKey) {
		return true, true
	}
	mine, err := x509.ParsePKIXPublicKey(k.PublicKey)
	theirs, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if err != nil || !ok {
		return false, false
	}
	return theirs.Equal(mine), true
}

func factsOf(key crypto.Signer, encryption string) (*KeyFacts, error) {
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, unsupportedError("kind of key")
	}
	return &KeyFacts{keyName(&x509.Certificate{PublicKey: key.Public()}), spki, encryption}, nil
}

// readKey finds the private key of a PEM or DER file. If it is encrypted and does not open,
// there are facts and a problem.
func readKey(data []byte, password connsec.Secret) (*KeyFacts, FileProblem) {
	data = bytes.TrimPrefix(data, utf8BOM)
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "OPENSSH PRIVATE KEY":
			return nil, FileProblem{FileUnreadable, "it is a key in OpenSSH's own format, which TLS servers do not load"}
		case block.Headers["DEK-Info"] != "":
			return readLegacyPEM(block, password)
		case block.Type == "ENCRYPTED PRIVATE KEY":
			return readEncryptedKey(block.Bytes, password)
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return readPlainKey(block.Bytes)
		}
	}
	kind := Classify(data)
	if kind != FileKey {
		return nil, wrongKind(data, kind, "private key")
	}
	if s := cryptobyte.String(data); s.ReadASN1(&s, asn1.SEQUENCE) && !s.PeekASN1Tag(asn1.INTEGER) {
		return readEncryptedKey(data, password)
	}
	return readPlainKey(data)
}

func readPlainKey(der []byte) (*KeyFacts, FileProblem) {
	key, err := parsePlainKey(der)
	if err == nil {
		return keyFacts(key, "", nil)
	}
	if name := unreadKey(der); name != "" {
		return nil, FileProblem{FileUnsupported, "its private key is of the kind " + name + ", which is not read here, and which most clients do not take"}
	}
	return nil, FileProblem{FileUnreadable, "its private key is damaged, or of an unknown kind"}
}

// parsePlainKey tries the three formats: labels of PEM blocks are often wrong.
func parsePlainKey(der []byte) (crypto.Signer, error) {
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		if signer, ok := key.(crypto.Signer); ok {
			return signer, nil
		}
		return nil, unsupportedError("kind of key")
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	return x509.ParseECPrivateKey(der)
}

func readEncryptedKey(der []byte, password connsec.Secret) (*KeyFacts, FileProblem) {
	s := cryptobyte.String(der)
	var info cryptobyte.String
	if !s.ReadASN1(&info, asn1.SEQUENCE) {
		return nil, FileProblem{FileUnreadable, "its encrypted key is damaged"}
	}
	scheme, ok := readPBE(&info)
	if !ok {
		return nil, FileProblem{FileUnreadable, "its encrypted key is damaged"}
	}
	encryption := scheme.algorithm
	if password.IsEmpty() {
		return &KeyFacts{Encryption: encryption}, FileProblem{FileLocked, "its key is encrypted, and no password was given"}
	}
	key, err := openPKCS8(der, password.Reveal())
	return keyFacts(key, encryption, err)
}

// readLegacyPEM reads OpenSSL's own encryption of PEM blocks (RFC 1421 headers): one round of
// MD5 over the password, so the algorithm does not matter much.
func readLegacyPEM(block *pem.Block, password connsec.Secret) (*KeyFacts, FileProblem) {
	cipher, _, _ := strings.Cut(block.Headers["DEK-Info"], ",")
	encryption := "traditional PEM, " + clip(printable(cipher))
	if password.IsEmpty() {
		return &KeyFacts{Encryption: encryption}, FileProblem{FileLocked, "its key is encrypted, and no password was given"}
	}
	//lint:ignore SA1019 files in this format exist, and are judged weak
	der, err := x509.DecryptPEMBlock(block, []byte(password.Reveal()))
	switch {
	case errors.Is(err, x509.IncorrectPasswordError):
		return keyFacts(nil, encryption, errWrongPassword)
	case err != nil:
		return keyFacts(nil, encryption, unsupportedError("encryption"))
	}
	key, err := parsePlainKey(der)
	if err != nil { // the padding is right by chance for one wrong password in 256
		return keyFacts(nil, encryption, errWrongPassword)
	}
	return keyFacts(key, encryption, nil)
}

func keyFacts(key crypto.Signer, encryption string, err error) (*KeyFacts, FileProblem) {
	facts := &KeyFacts{Encryption: encryption}
	if err == nil {
		facts, err = factsOf(key, encryption)
	}
	if err != nil {
		return &KeyFacts{Encryption: encryption}, problemOfOpening(err)
	}
	return facts, FileProblem{}
}

func problemOfOpening(err error) FileProblem {
	var unsupported unsupportedError
	if errors.As(err, &unsupported) || errors.Is(err, errTooMuchWork) || errors.Is(err, errBER) {
		return FileProblem{FileUnsupported, err.Error()}
	}
	return FileProblem{FileUnreadable, err.Error()}
}
