package securl

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Argon2id hashes passwords with Argon2id (RFC 9106) into PHC strings:
//
//	$argon2id$v=19$m=65536,t=3,p=4$<salt>$<hash>
//
// Circle cannot read them. It is for systems of your own, and for those whom XMPie has given a
// stronger method on request. The zero value uses the second recommended setting of RFC 9106,
// section 4. Memory is taken once per call, so bound the number of concurrent sign-ins.
//
// The password is hashed as the UTF-8 it comes in, however long, without normalisation.
type Argon2id struct {
	// Time is the number of passes over the memory. Default 3.
	Time uint32
	// Memory in KiB. Default 65536 (64 MiB).
	Memory uint32
	// Threads is the number of lanes. Default 4.
	Threads uint8
	// Rand is where salts come from. Default: crypto/rand. For tests only.
	Rand io.Reader
}

var _ PasswordHasher = Argon2id{}

const (
	argonSalt = 16 // bytes; RFC 9106, section 3.1
	argonTag  = 32 // bytes; section 4

	// A stored string chooses the work that verifying it takes. These bounds keep a forged one
	// from stopping the server.
	argonMostMemory = 1 << 20 // KiB: 1 GiB
	argonMostTime   = 64
)

func (a Argon2id) withDefaults() Argon2id {
	if a.Time == 0 {
		a.Time = 3
	}
	if a.Memory == 0 {
		a.Memory = 64 << 10
	}
	if a.Threads == 0 {
		a.Threads = 4
	}
	if a.Rand == nil {
		a.Rand = rand.Reader
	}
	return a
}

func (a Argon2id) check() error {
	if a.Memory < 8*uint32(a.Threads) || a.Memory > argonMostMemory || a.Time > argonMostTime {
		return fmt.Errorf("securl: argon2id parameters are out of bounds: memory must be from 8 KiB for each thread to %d KiB, time at most %d", argonMostMemory, argonMostTime)
	}
	return nil
}

// Hash returns the PHC string of the password with a new salt.
func (a Argon2id) Hash(password string) (string, error) {
	a = a.withDefaults()
	if err := a.check(); err != nil {
		return "", err
	}
	salt := make([]byte, argonSalt)
	if _, err := io.ReadFull(a.Rand, salt); err != nil {
		return "", fmt.Errorf("securl: cannot draw a salt: %w", err)
	}
	tag := argon2.IDKey([]byte(password), salt, a.Time, a.Memory, a.Threads, argonTag)
	return phc{a.Time, a.Memory, a.Threads, salt, tag}.String(), nil
}

// Verify reports whether the PHC string was made from the password, with whatever parameters
// stand in it. A string that is no such hash, or asks for too much work, is [ErrNotHash].
func (a Argon2id) Verify(password, stored string) (bool, error) {
	h, err := parsePHC(stored)
	if err != nil {
		return false, err
	}
	tag := argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.threads, uint32(len(h.tag)))
	return subtle.ConstantTimeCompare(tag, h.tag) == 1, nil
}

// Outdated reports whether a stored string was made with less work than a asks for, or is none
// at all. Hash the password anew after the next successful Verify.
func (a Argon2id) Outdated(stored string) bool {
	a = a.withDefaults()
	h, err := parsePHC(stored)
	return err != nil || h.time < a.Time || h.memory < a.Memory || len(h.salt) < argonSalt || len(h.tag) < argonTag
}

// phc is the content of a PHC string for Argon2id, version 19 (0x13).
type phc struct {
	time, memory uint32
	threads      uint8
	salt, tag    []byte
}

func (h phc) String() string {
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.time, h.threads, enc.EncodeToString(h.salt), enc.EncodeToString(h.tag))
}

func parsePHC(s string) (phc, error) {
	fail := func(why string) (phc, error) { return phc{}, fmt.Errorf("%w (argon2id: %s)", ErrNotHash, why) }
	if len(s) > 512 || strings.ContainsAny(s, "\r\n") { // which the base64 decoder would skip
		return fail("too long, or broken into lines")
	}
	part := strings.Split(s, "$")
	if len(part) != 6 || part[0] != "" || part[1] != "argon2id" {
		return fail("not of the form $argon2id$v=19$m=…,t=…,p=…$salt$hash")
	}
	if part[2] != "v="+strconv.Itoa(argon2.Version) {
		return fail("only version 19 is supported")
	}
	param := strings.Split(part[3], ",")
	if len(param) != 3 {
		return fail("not three parameters")
	}
	memory, err1 := number(param[0], "m=", argonMostMemory)
	time, err2 := number(param[1], "t=", argonMostTime)
	threads, err3 := number(param[2], "p=", 255)
	salt, err4 := base64.RawStdEncoding.Strict().DecodeString(part[4])
	tag, err5 := base64.RawStdEncoding.Strict().DecodeString(part[5])
	if errors.Join(err1, err2, err3, err4, err5) != nil {
		return fail("a parameter is malformed or out of bounds")
	}
	if len(salt) < 8 || len(tag) < 16 || memory < 8*threads {
		return fail("salt, hash or memory is too small")
	}
	return phc{time, memory, uint8(threads), salt, tag}, nil
}

var errNumber = errors.New("not a number in bounds")

func number(s, prefix string, most uint32) (uint32, error) {
	digits, ok := strings.CutPrefix(s, prefix)
	n, err := strconv.ParseUint(digits, 10, 32)
	if !ok || err != nil || n == 0 || n > uint64(most) || digits[0] == '0' || digits[0] == '+' {
		return 0, errNumber
	}
	return uint32(n), nil
}
