// Package kerberos makes the tokens of a Kerberos bind that is bound to its TLS channel, for
// method Kerberos of package ldapsec:
//
//	client, err := kerberos.FromKeytab("svc-print", "CORP.EXAMPLE", "/etc/svc-print.keytab", "/etc/krb5.conf")
//	c.Method, c.Kerberos = ldapsec.Kerberos, client
//
// The authenticator carries the tls-server-end-point binding (RFC 5929) in the checksum of
// RFC 4121, 4.1.1, and the server has to authenticate itself in turn. No security layer is
// negotiated, because TLS is one.
//
// It is a package of its own because a Kerberos implementation is a lot of code for programs
// that do not use it. What it does not do: the messages to the key distribution centre are not
// governed by a context but by the library's own limit of five seconds each; credentials are
// not delegated.
package kerberos

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/ntlm"
	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana/chksumtype"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Client is an account that can ask for tickets. It serves one bind at a time and can be used
// again for the next.
type Client struct {
	krb  *client.Client
	step int // which token of the server's comes next

	key      types.EncryptionKey // of the ticket
	accepted types.EncryptionKey // the server's own, if it chose one
	sequence uint64
	sent     time.Time // what the server has to repeat to prove that it could read the request
	micros   int
}

// FromKeytab uses the account's key out of a keytab file. The last argument is a krb5.conf
// that knows the realm.
func FromKeytab(user, realm, keytabFile, krb5conf string) (*Client, error) {
	cfg, err := load(krb5conf)
	if err != nil {
		return nil, err
	}
	kt, err := keytab.Load(keytabFile)
	if err != nil {
		return nil, fmt.Errorf("kerberos: the keytab cannot be read: %w", err)
	}
	return &Client{krb: client.NewWithKeytab(user, realm, kt, cfg, client.DisablePAFXFAST(true))}, nil
}

// FromCache uses the tickets of a credential cache file, as kinit makes it.
func FromCache(cacheFile, krb5conf string) (*Client, error) {
	cfg, err := load(krb5conf)
	if err != nil {
		return nil, err
	}
	cache, err := credentials.LoadCCache(cacheFile)
	if err != nil {
		return nil, fmt.Errorf("kerberos: the credential cache cannot be read: %w", err)
	}
	krb, err := client.NewFromCCache(cache, cfg, client.DisablePAFXFAST(true))
	if err != nil {
		return nil, fmt.Errorf("kerberos: the credential cache cannot be used: %w", err)
	}
	return &Client{krb: krb}, nil
}

// FromPassword uses the account's password.
func FromPassword(user, realm string, password connsec.Secret, krb5conf string) (*Client, error) {
	cfg, err := load(krb5conf)
	if err != nil {
		return nil, err
	}
	if password.IsEmpty() {
		return nil, errors.New("kerberos: the password is empty")
	}
	return &Client{krb: client.NewWithPassword(user, realm, password.Reveal(), cfg, client.DisablePAFXFAST(true))}, nil
}

func load(krb5conf string) (*config.Config, error) {
	cfg, err := config.Load(krb5conf)
	if err != nil {
		return nil, fmt.Errorf("kerberos: krb5.conf cannot be read: %w", err)
	}
	return cfg, nil
}

// Context flags of RFC 4121, 4.1.1.1.
const (
	flagMutual   = 2
	flagSequence = 8
)

// oid is Kerberos 5 as a GSS-API mechanism (RFC 4121, 4.1), as encoded content.
var oid = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 1, 2, 2}

// Token identifiers (RFC 4121, 4.1).
const (
	tokenRequest = 0x0100
	tokenReply   = 0x0200
	tokenError   = 0x0300
)

// Init gets a ticket for the service and makes the first token.
func (c *Client) Init(ctx context.Context, service string, binding []byte) ([]byte, error) {
	c.step, c.accepted = 0, types.EncryptionKey{}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ticket, key, err := c.krb.GetServiceTicket(service)
	if err != nil {
		return nil, fmt.Errorf("kerberos: no ticket for %s: %w", service, brief(err))
	}
	c.key = key
	creds := c.krb.Credentials
	auth, err := types.NewAuthenticator(creds.Domain(), creds.CName())
	if err != nil {
		return nil, fmt.Errorf("kerberos: %w", err)
	}
	auth.Cksum = types.Checksum{CksumType: chksumtype.GSSAPI, Checksum: checksum(binding)}
	c.sequence, c.sent, c.micros = uint64(auth.SeqNumber), auth.CTime, auth.Cusec

	request, err := messages.NewAPReq(ticket, key, auth)
	if err != nil {
		return nil, fmt.Errorf("kerberos: %w", err)
	}
	types.SetFlag(&request.APOptions, 2) // mutual-required, RFC 4120, 5.5.1
	der, err := request.Marshal()
	if err != nil {
		return nil, fmt.Errorf("kerberos: %w", err)
	}
	return wrapToken(tokenRequest, der), nil
}

// checksum is the authenticator's, which carries the channel binding (RFC 4121, 4.1.1).
func checksum(binding []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 16)
	if binding == nil {
		b = append(b, make([]byte, 16)...)
	} else {
		hash := ntlm.BindingHash(binding)
		b = append(b, hash[:]...)
	}
	return binary.LittleEndian.AppendUint32(b, flagMutual|flagSequence)
}

// Next answers the server: its proof first, then its offer of security layers.
func (c *Client) Next(token []byte) (answer []byte, done bool, err error) {
	c.step++
	switch c.step {
	case 1:
		return []byte{}, false, c.verifyServer(token)
	case 2:
		answer, err = c.chooseLayer(token)
		return answer, true, err
	}
	return nil, false, errors.New("kerberos: the server sends more tokens than the protocol has")
}

// verifyServer checks that the server could decrypt the request, which takes the key of the
// service: RFC 4120, 3.2.5.
func (c *Client) verifyServer(token []byte) error {
	id, der, err := unwrapToken(token)
	if err != nil {
		return err
	}
	if id == tokenError {
		var refused messages.KRBError
		if err := refused.Unmarshal(der); err != nil {
			return errors.New("kerberos: the server refuses the ticket")
		}
		return fmt.Errorf("kerberos: the server refuses the ticket: error %d", refused.ErrorCode)
	}
	if id != tokenReply {
		return fmt.Errorf("kerberos: token 0x%04x where the server's proof belongs", id)
	}
	var reply messages.APRep
	if err := reply.Unmarshal(der); err != nil {
		return errors.New("kerberos: the server's proof cannot be read")
	}
	plain, err := crypto.DecryptEncPart(reply.EncPart, c.key, keyusage.AP_REP_ENCPART)
	if err != nil {
		return errors.New("kerberos: the server's proof is not made with the ticket's key")
	}
	var part messages.EncAPRepPart
	if err := part.Unmarshal(plain); err != nil {
		return errors.New("kerberos: the server's proof cannot be read")
	}
	// The wire has seconds and microseconds apart.
	if !part.CTime.Equal(c.sent.Truncate(time.Second)) || part.Cusec != c.micros {
		return errors.New("kerberos: the server's proof belongs to another request")
	}
	c.accepted = part.Subkey
	return nil
}

// Flags of a wrap token (RFC 4121, 4.2.2).
const (
	sentByAcceptor = 1
	sealed         = 2
	acceptorSubkey = 4
)

// layerNone is the bit for "no security layer" (RFC 4752, 3.3).
const layerNone = 1

// chooseLayer answers the server's offer, a wrapped message of four octets.
func (c *Client) chooseLayer(token []byte) ([]byte, error) {
	offer, err := c.open(token)
	if err != nil {
		return nil, err
	}
	if len(offer) != 4 {
		return nil, fmt.Errorf("kerberos: the offer of security layers has %d octets", len(offer))
	}
	if offer[0]&layerNone == 0 {
		return nil, errors.New("kerberos: the server insists on a security layer within TLS")
	}
	key, flags := c.key, byte(0)
	if c.accepted.KeyType != 0 {
		key, flags = c.accepted, acceptorSubkey
	}
	kind, err := crypto.GetEtype(key.KeyType)
	if err != nil {
		return nil, fmt.Errorf("kerberos: %w", err)
	}
	// No layer, and so no buffer; no authorisation identity.
	answer := gssapi.WrapToken{
		Flags: flags, EC: uint16(kind.GetHMACBitLength() / 8), SndSeqNum: c.sequence, Payload: []byte{layerNone, 0, 0, 0},
	}
	if err := answer.SetCheckSum(key, keyusage.GSSAPI_INITIATOR_SEAL); err != nil {
		return nil, fmt.Errorf("kerberos: %w", err)
	}
	return answer.Marshal()
}

// open verifies a wrap token of the server's and returns what is in it. The library's own
// parser does not undo the rotation (RFC 4121, 4.2.5), which some servers use.
func (c *Client) open(b []byte) ([]byte, error) {
	if len(b) < gssapi.HdrLen || b[0] != 5 || b[1] != 4 || b[3] != 0xff {
		return nil, errors.New("kerberos: the offer of security layers is no wrap token")
	}
	flags, ec, rrc := b[2], int(binary.BigEndian.Uint16(b[4:])), int(binary.BigEndian.Uint16(b[6:]))
	if flags&sentByAcceptor == 0 || flags&sealed != 0 {
		return nil, errors.New("kerberos: the offer of security layers is not from the server, or is sealed")
	}
	body := slices.Clone(b[gssapi.HdrLen:])
	if ec > len(body) || len(body) == 0 {
		return nil, errors.New("kerberos: the offer of security layers is cut off")
	}
	rrc %= len(body)
	body = append(body[rrc:], body[:rrc]...)
	key := c.key
	if flags&acceptorSubkey != 0 {
		key = c.accepted
	}
	t := gssapi.WrapToken{
		Flags: flags, EC: uint16(ec), SndSeqNum: binary.BigEndian.Uint64(b[8:]),
		Payload: body[:len(body)-ec], CheckSum: body[len(body)-ec:],
	}
	if ok, err := t.Verify(key, keyusage.GSSAPI_ACCEPTOR_SEAL); err != nil || !ok {
		return nil, errors.New("kerberos: the offer of security layers is not the server's")
	}
	return t.Payload, nil
}

// Close forgets the keys of the bind. Tickets are kept for the next.
func (c *Client) Close() error {
	c.key, c.accepted = types.EncryptionKey{}, types.EncryptionKey{}
	return nil
}

// Destroy forgets tickets and credentials, and ends the renewal of tickets in the background.
func (c *Client) Destroy() { c.krb.Destroy() }

func wrapToken(id uint16, message []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(0x60, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes(oid) })
		b.AddUint16(id)
		b.AddBytes(message)
	})
	return b.BytesOrPanic()
}

func unwrapToken(data []byte) (id uint16, message []byte, err error) {
	in := cryptobyte.String(data)
	var token, mech cryptobyte.String
	if !in.ReadASN1(&token, 0x60) || !in.Empty() || !token.ReadASN1(&mech, asn1.OBJECT_IDENTIFIER) || !token.ReadUint16(&id) {
		return 0, nil, errors.New("kerberos: the server's answer is no Kerberos token")
	}
	if string(mech) != string(oid) {
		return 0, nil, fmt.Errorf("kerberos: the server's answer is for the mechanism %s", hex.EncodeToString(mech))
	}
	return id, token, nil
}

// brief shortens the library's chains of causes to one line.
func brief(err error) error {
	text := strings.Join(strings.Fields(err.Error()), " ")
	const most = 200
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return errors.New(text)
}
