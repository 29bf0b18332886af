package testca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"sync"
)

// KeyKind is an algorithm with its size.
type KeyKind uint8

// The key kinds. The zero value is ECDSA on P-256, which takes no time to make.
const (
	ECDSA256 KeyKind = iota
	ECDSA224
	ECDSA384
	ECDSA521
	Ed25519
	RSA1024
	RSA2048
	RSA3072
	RSA4096
)

var keyKinds = []struct {
	name  string
	curve elliptic.Curve
	bits  int
}{
	ECDSA256: {"ECDSA P-256", elliptic.P256(), 0},
	ECDSA224: {"ECDSA P-224", elliptic.P224(), 0},
	ECDSA384: {"ECDSA P-384", elliptic.P384(), 0},
	ECDSA521: {"ECDSA P-521", elliptic.P521(), 0},
	Ed25519:  {"Ed25519", nil, 0},
	RSA1024:  {"RSA 1024", nil, 1024},
	RSA2048:  {"RSA 2048", nil, 2048},
	RSA3072:  {"RSA 3072", nil, 3072},
	RSA4096:  {"RSA 4096", nil, 4096},
}

// String returns algorithm and size, such as "RSA 2048".
func (k KeyKind) String() string {
	if int(k) >= len(keyKinds) {
		return fmt.Sprintf("key kind(%d)", uint8(k))
	}
	return keyKinds[k].name
}

// keyring hands out keys to one authority. RSA keys take long to make, so all authorities of
// the process share a stock of them: within one authority no key is handed out twice, and
// the tenth authority gets the same ones as the first.
type keyring struct {
	mu   sync.Mutex
	used map[KeyKind]int
}

// rsaStock only grows, and holds nothing that outlives the process.
var rsaStock struct {
	sync.Mutex
	keys map[KeyKind][]*rsa.PrivateKey
}

func (r *keyring) next(kind KeyKind) (crypto.Signer, error) {
	if int(kind) >= len(keyKinds) {
		return nil, fmt.Errorf("testca: unknown %s", kind)
	}
	k := keyKinds[kind]
	switch {
	case k.curve != nil:
		return ecdsa.GenerateKey(k.curve, rand.Reader)
	case kind == Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	r.mu.Lock()
	n := r.used[kind]
	if r.used == nil {
		r.used = map[KeyKind]int{}
	}
	r.used[kind]++
	r.mu.Unlock()

	rsaStock.Lock()
	defer rsaStock.Unlock()
	if rsaStock.keys == nil {
		rsaStock.keys = map[KeyKind][]*rsa.PrivateKey{}
	}
	for len(rsaStock.keys[kind]) <= n {
		key, err := rsa.GenerateKey(rand.Reader, k.bits)
		if err != nil {
			return nil, fmt.Errorf("testca: make a key of kind %s: %w", kind, err)
		}
		rsaStock.keys[kind] = append(rsaStock.keys[kind], key)
	}
	return rsaStock.keys[kind][n], nil
}
