package setting

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// maxJSON bounds a setting.
const maxJSON = 1 << 20

// ParseJSON reads one setting in JSON. Unknown fields are refused, so that a mistyped name does
// not silently leave a default in place. Errors begin with the name of the package and say
// where, without quoting values.
func ParseJSON[T any](pkg string, data []byte) (T, error) {
	var v, none T
	if len(data) > maxJSON {
		return none, fmt.Errorf("%s: a setting of %d bytes; at most %d are read", pkg, len(data), maxJSON)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		return none, fmt.Errorf("%s: %w", pkg, problem(err))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return none, fmt.Errorf("%s: unexpected data after the setting", pkg)
	}
	return v, nil
}

// problem says what is wrong with JSON.
func problem(err error) error {
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	var date *time.ParseError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("the setting is not JSON: mistake at byte %d", syntax.Offset)
	case errors.As(err, &typ):
		return fmt.Errorf("the setting's field %q has the wrong type; it must be a %s", OneLine(typ.Field), typ.Type)
	case errors.As(err, &date): // which quotes the value
		return errors.New("a date of the setting is not one; write it as 2026-01-31T00:00:00Z")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the setting is not complete JSON")
	}
	return errors.New(OneLine(err.Error()))
}
