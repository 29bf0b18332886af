package securl

import (
	"crypto/hmac"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// deviceLifetime is how long a device stays known after the last sign-in on it.
const deviceLifetime = 180 * 24 * time.Hour

// newDevice returns the value of a cookie that marks a device on which the recipient has signed
// in: an identifier, an end, and a MAC over both and the recipient key. It opens nothing; it only
// keeps the failures of others from being counted against the recipient on this device.
func (d *door) newDevice(rid string) (string, error) {
	random, err := d.draw()
	if err != nil {
		return "", err
	}
	id := base64.RawURLEncoding.EncodeToString(random[:16])
	end := strconv.FormatInt(d.clock.now().Add(deviceLifetime).Unix(), 10)
	return id + "." + end + "." + d.deviceMAC(id, end, foldRID(rid)), nil
}

func (d *door) deviceMAC(id, end, folded string) string {
	return base64.RawURLEncoding.EncodeToString(sign(d.key, "device", d.name, id, end, folded))
}

// deviceID returns the identifier in a cookie that newDevice made for the recipient, or "".
func (d *door) deviceID(now time.Time, cookie, folded string) string {
	id, rest, _ := strings.Cut(cookie, ".")
	end, mac, ok := strings.Cut(rest, ".")
	if !ok || !hmac.Equal([]byte(mac), []byte(d.deviceMAC(id, end, folded))) {
		return ""
	}
	if unix, err := strconv.ParseInt(end, 10, 64); err != nil || unix <= now.Unix() {
		return ""
	}
	return id
}
