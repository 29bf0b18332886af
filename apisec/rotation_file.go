package apisec

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/disk"
	"github.com/connsec/connsec/internal/setting"
)

// SecretFormat is what stands in a file that clients read their secret from.
type SecretFormat uint8

const (
	// PairFormat is JSON with client_id and client_secret, which change in one step.
	PairFormat SecretFormat = iota
	// BareFormat is the secret and a line break. It takes a server where a client has several
	// secrets, since the identifier stands elsewhere.
	BareFormat
)

var secretFormats = setting.Enum[SecretFormat]{Package: "apisec", Kind: "secret format", Names: []string{"pair", "bare"}}

// String returns the name.
func (f SecretFormat) String() string { return secretFormats.Name(f) }

// MarshalText writes the name.
func (f SecretFormat) MarshalText() ([]byte, error) { return secretFormats.Encode(f) }

// UnmarshalText accepts the names.
func (f *SecretFormat) UnmarshalText(text []byte) error { return secretFormats.Decode(text, f) }

// FileDistributor keeps the secret in a file that clients on this machine read. It has mode
// 0600 and the owner that it had before, is replaced in one step, and is refused in a directory
// where everybody can put files. The staged one has ".next" behind its name.
type FileDistributor struct {
	Path string
	// Format defaults to PairFormat.
	Format SecretFormat
	// ClientID is the one that clients use, if Format is BareFormat: another one's secret would
	// be of no use to them, and is refused.
	ClientID string

	at func(point string) error // for tests, as in FileStore
}

const maxSecretFile = 64 << 10

func (d FileDistributor) staged() string { return d.Path + ".next" }

// text is what the file holds.
func (d FileDistributor) text(c Credential) ([]byte, error) {
	if d.Format == BareFormat {
		if c.ClientID != d.ClientID {
			return nil, fmt.Errorf("apisec: %s holds the secret of %q alone, and cannot tell its readers to be %q now: use the format pair", d.Path, d.ClientID, c.ClientID)
		}
		return []byte(c.Secret.Reveal() + "\n"), nil
	}
	pair := struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}{c.ClientID, c.Secret.Reveal()}
	text, err := json.Marshal(pair)
	if err != nil {
		return nil, errors.New("apisec: the credential cannot be written as JSON")
	}
	return append(text, '\n'), nil
}

// Stage writes the staged file.
func (d FileDistributor) Stage(_ context.Context, next Credential) error {
	return d.write(d.staged(), next)
}

// Activate replaces the file, and removes the staged one.
func (d FileDistributor) Activate(_ context.Context, next Credential) error {
	if err := d.write(d.Path, next); err != nil {
		return err
	}
	return d.removeStaged()
}

// Discard removes the staged file.
func (d FileDistributor) Discard(context.Context, Credential) error { return d.removeStaged() }

// write puts the credential there unless it is there already, and reads it again.
func (d FileDistributor) write(path string, c Credential) error {
	text, err := d.text(c)
	if err != nil {
		return err
	}
	if there, err := readPrivate(path, maxSecretFile); err == nil && bytes.Equal(there, text) {
		return nil
	}
	if err := writePrivate(path, text, d.at); err != nil {
		return err
	}
	there, err := readPrivate(path, maxSecretFile)
	if err == nil && !bytes.Equal(there, text) {
		err = fmt.Errorf("apisec: %s does not hold what was written: something else writes to it", path)
	}
	return err
}

func (d FileDistributor) removeStaged() error {
	err := os.Remove(d.staged())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fileError(d.staged(), err)
	}
	return disk.SyncDir(filepath.Dir(d.Path))
}

// Read implements [Reader]. Of a file in BareFormat the identifier is ClientID.
func (d FileDistributor) Read(context.Context) (Credential, error) {
	data, err := readPrivate(d.Path, maxSecretFile)
	if err != nil {
		return Credential{}, err
	}
	return d.parse(data)
}

// parse is the inverse of text. Line breaks at the end are not part of a secret.
func (d FileDistributor) parse(data []byte) (Credential, error) {
	c := Credential{ClientID: d.ClientID}
	secret := string(bytes.TrimRight(data, "\r\n"))
	if d.Format == PairFormat {
		var pair struct {
			ID     string `json:"client_id"`
			Secret string `json:"client_secret"`
		}
		if err := json.Unmarshal(data, &pair); err != nil {
			return Credential{}, fmt.Errorf(`apisec: %s is not JSON with "client_id" and "client_secret"`, d.Path)
		}
		c.ClientID, secret = pair.ID, pair.Secret
	}
	c.Secret = connsec.NewSecret(secret)
	if c.ClientID == "" || secret == "" {
		return Credential{}, fmt.Errorf("apisec: %s has no client identifier or no secret in it", d.Path)
	}
	return c, nil
}
