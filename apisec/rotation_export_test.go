package apisec

// For tests of the state file and of crashes in the middle of a write.
var (
	EncodeState = encodeState
	DecodeState = decodeState
)

// WithHook calls at before and between the writes to the disk.
func (s FileStore) WithHook(at func(string) error) FileStore {
	s.at = at
	return s
}

// WithHook calls at before and between the writes to the disk.
func (d FileDistributor) WithHook(at func(string) error) FileDistributor {
	d.at = at
	return d
}
