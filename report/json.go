package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode"
	"unicode/utf8"

	"github.com/connsec/connsec"
)

// schema is the version of the JSON form. It changes when a field changes its meaning, not
// when one is added.
const schema = 1

// most bounds what Decode reads: ten thousand findings take about 5 MB.
const most = 64 << 20

func writeJSON(w *bufio.Writer, reports []connsec.Report, _ Options) error {
	if reports == nil {
		reports = []connsec.Report{}
	}
	return indented(w, struct {
		Schema  int              `json:"schema"`
		Reports []connsec.Report `json:"reports"`
	}{schema, reports})
}

// indented writes v as JSON and escapes every character that is not graphic. encoding/json
// does so for the ASCII controls only, and files get shown on terminals. JSON is ASCII outside
// its strings, so the escape means the same.
func indented(w *bufio.Writer, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	data := b.Bytes()
	from := 0
	for i := 0; i < len(data); {
		c := data[i]
		if c < 0x7f {
			i++
			continue
		}
		r, n := utf8.DecodeRune(data[i:])
		if !unicode.IsGraphic(r) {
			_, _ = w.Write(data[from:i])
			if r > 0xffff {
				r -= 0x10000
				fmt.Fprintf(w, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
			} else {
				fmt.Fprintf(w, `\u%04x`, r)
			}
			from = i + n
		}
		i += n
	}
	_, err := w.Write(data[from:])
	return err
}

// Decode reads what Write writes as [JSON]. The rules are those that the caller knows, usually
// the Rules() of the packages that made the reports; unknown rules, severities, outcomes,
// fields and schemas are refused, and so is more than 64 MiB.
func Decode(r io.Reader, rules []*connsec.Rule) ([]connsec.Report, error) {
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	if len(data) > most {
		return nil, fmt.Errorf("report: more than %d MiB of JSON", most>>20)
	}
	var raw struct {
		Schema  int               `json:"schema"`
		Reports []json.RawMessage `json:"reports"`
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&raw); err != nil {
		return nil, fmt.Errorf("report: not a JSON report: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("report: unexpected data after the JSON report")
	}
	if raw.Schema != schema {
		return nil, fmt.Errorf("report: JSON schema %d is not known (this version reads %d)", raw.Schema, schema)
	}
	reports := make([]connsec.Report, len(raw.Reports))
	for i, msg := range raw.Reports {
		if reports[i], err = connsec.DecodeReport(msg, rules); err != nil {
			return nil, fmt.Errorf("report: report %d: %w", i, err)
		}
	}
	return reports, nil
}
