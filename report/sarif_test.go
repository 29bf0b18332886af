package report_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/report"
)

// sarifSchema holds what the specification demands of the parts that are used: required
// properties, the values of each enumeration, and no property that it does not know.
const sarifSchema = `{
  "$defs": {
    "text": {"type": "object", "required": ["text"], "additionalProperties": false, "properties": {"text": {"type": "string", "minLength": 1}}},
    "level": {"enum": ["none", "note", "warning", "error"]}
  },
  "type": "object", "required": ["version", "runs"], "additionalProperties": false,
  "properties": {
    "$schema": {"type": "string", "format": "uri"},
    "version": {"const": "2.1.0"},
    "runs": {"type": "array", "minItems": 1, "maxItems": 1, "items": {
      "type": "object", "required": ["tool", "results"], "additionalProperties": false,
      "properties": {
        "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
        "invocations": {"type": "array", "items": {"type": "object", "required": ["executionSuccessful"], "additionalProperties": false,
          "properties": {"executionSuccessful": {"type": "boolean"}, "startTimeUtc": {"type": "string", "format": "date-time"}}}},
        "tool": {"type": "object", "required": ["driver"], "additionalProperties": false, "properties": {"driver": {
          "type": "object", "required": ["name"], "additionalProperties": false,
          "properties": {"name": {"const": "connsec"}, "semanticVersion": {"type": "string"}, "rules": {"type": "array", "uniqueItems": true, "items": {
            "type": "object", "required": ["id"], "additionalProperties": false,
            "properties": {
              "id": {"type": "string", "minLength": 1}, "helpUri": {"type": "string", "format": "uri"},
              "shortDescription": {"$ref": "#/$defs/text"}, "fullDescription": {"$ref": "#/$defs/text"}, "help": {"$ref": "#/$defs/text"},
              "defaultConfiguration": {"type": "object", "additionalProperties": false, "properties": {"level": {"$ref": "#/$defs/level"}}},
              "properties": {"type": "object"}}}}}}}},
        "results": {"type": "array", "items": {
          "type": "object", "required": ["message", "ruleId", "ruleIndex"], "additionalProperties": false,
          "properties": {
            "ruleId": {"type": "string"}, "ruleIndex": {"type": "integer", "minimum": 0},
            "kind": {"enum": ["notApplicable", "pass", "fail", "review", "open", "informational"]},
            "level": {"$ref": "#/$defs/level"}, "message": {"$ref": "#/$defs/text"},
            "partialFingerprints": {"type": "object", "additionalProperties": {"type": "string"}},
            "suppressions": {"type": "array", "items": {"type": "object", "required": ["kind"], "additionalProperties": false, "properties": {
              "kind": {"enum": ["inSource", "external"]}, "status": {"enum": ["accepted", "underReview", "rejected"]}, "justification": {"type": "string"}}}},
            "properties": {"type": "object"},
            "locations": {"type": "array", "uniqueItems": true, "items": {"type": "object", "additionalProperties": false, "properties": {
              "physicalLocation": {"type": "object", "required": ["artifactLocation"], "additionalProperties": false, "properties": {
                "artifactLocation": {"type": "object", "required": ["uri"], "additionalProperties": false, "properties": {"uri": {"type": "string", "format": "uri-reference"}}},
                "region": {"type": "object", "required": ["startLine"], "additionalProperties": false,
                  "properties": {"startLine": {"type": "integer", "minimum": 1}, "startColumn": {"type": "integer", "minimum": 1}}}}},
              "logicalLocations": {"type": "array", "uniqueItems": true, "items": {"type": "object", "additionalProperties": false, "properties": {
                "name": {"type": "string"}, "fullyQualifiedName": {"type": "string"}, "kind": {"type": "string"}}}}}}}},
          "if": {"properties": {"kind": {"const": "fail"}}}, "else": {"properties": {"level": {"const": "none"}}}
        }}
      }
    }}
  }
}`

type sarifLog struct {
	Runs []struct {
		Tool struct {
			Driver struct {
				Rules []struct {
					ID         string            `json:"id"`
					HelpURI    string            `json:"helpUri"`
					Properties map[string]any    `json:"properties"`
					Default    map[string]string `json:"defaultConfiguration"`
				} `json:"rules"`
			} `json:"driver"`
		} `json:"tool"`
		Results []struct {
			RuleID       string                `json:"ruleId"`
			RuleIndex    int                   `json:"ruleIndex"`
			Kind         string                `json:"kind"`
			Level        string                `json:"level"`
			Message      struct{ Text string } `json:"message"`
			Fingerprints map[string]string     `json:"partialFingerprints"`
			Suppressions []struct {
				Kind, Status, Justification string
			} `json:"suppressions"`
			Locations []struct {
				Physical *struct {
					Artifact struct{ URI string }                  `json:"artifactLocation"`
					Region   *struct{ StartLine, StartColumn int } `json:"region"`
				} `json:"physicalLocation"`
				Logical []struct{ Name, FullyQualifiedName string } `json:"logicalLocations"`
			} `json:"locations"`
		} `json:"results"`
	} `json:"runs"`
}

func sarif(t *testing.T, reports []connsec.Report, opts report.Options) sarifLog {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	schema, err := jsonschema.UnmarshalJSON(strings.NewReader(sarifSchema))
	require.NoError(t, err)
	require.NoError(t, c.AddResource("sarif.json", schema))
	compiled, err := c.Compile("sarif.json")
	require.NoError(t, err)
	out := render(t, report.SARIF, reports, opts)
	log, err := jsonschema.UnmarshalJSON(strings.NewReader(out))
	require.NoError(t, err)
	require.NoError(t, compiled.Validate(log))
	var parsed sarifLog
	require.NoError(t, json.Unmarshal([]byte(out), &parsed))
	require.Len(t, parsed.Runs, 1)
	for _, r := range parsed.Runs[0].Results {
		require.Equal(t, r.RuleID, parsed.Runs[0].Tool.Driver.Rules[r.RuleIndex].ID)
	}
	return parsed
}

func TestSARIF(t *testing.T) {
	run := sarif(t, weak(), report.Options{Version: "0.1.0"}).Runs[0]
	var got []string
	for _, r := range run.Results {
		got = append(got, r.RuleID+" "+r.Kind+" "+r.Level)
	}
	assert.Equal(t, []string{
		"sample-cleartext-bind fail error", "sample-version-legacy open none", "sample-cleartext-bind fail error", "sample-expired fail error",
		"sample-version-legacy fail warning", "sample-hsts-missing fail note",
	}, got)
	first := run.Results[0]
	assert.Equal(t, "deployment.yaml", first.Locations[0].Physical.Artifact.URI)
	assert.Equal(t, 14, first.Locations[0].Physical.Region.StartLine)
	assert.Equal(t, 5, first.Locations[0].Physical.Region.StartColumn)
	assert.Equal(t, "dc1.corp.example:389", first.Locations[0].Logical[0].Name)
	assert.Equal(t, "dc1.corp.example/dc1.corp.example:389", first.Locations[0].Logical[0].FullyQualifiedName)

	waived := run.Results[4]
	require.Len(t, waived.Suppressions, 1)
	assert.Equal(t, "accepted", waived.Suppressions[0].Status)
	assert.Contains(t, waived.Suppressions[0].Justification, "(until 2027-03-31)")
	assert.Empty(t, run.Results[3].Suppressions, "a waiver that does not hold suppresses nothing")

	bind := run.Tool.Driver.Rules[0]
	assert.Equal(t, "https://www.rfc-editor.org/rfc/rfc4513#section-5.1.2", bind.HelpURI)
	assert.Equal(t, "9.5", bind.Properties["security-severity"])
	assert.Equal(t, "error", bind.Default["level"])

	all := sarif(t, weak(), report.Options{Verbose: true}).Runs[0]
	assert.Len(t, all.Results, 9)
	assert.Empty(t, sarif(t, nil, report.Options{}).Runs[0].Results)
	assert.Len(t, sarif(t, attacked(), report.Options{Verbose: true}).Runs[0].Results, 4)
}

func TestSARIFFingerprints(t *testing.T) {
	prints := func(reports []connsec.Report) (out []string) {
		for _, r := range sarif(t, reports, report.Options{Verbose: true}).Runs[0].Results {
			out = append(out, r.Fingerprints["connsec/v1"])
		}
		return out
	}
	moved := weak()
	moved[0].Findings[0].Source.Line = 99
	moved[0].Findings[0].Detail = "other words"
	assert.Equal(t, prints(weak()), prints(moved), "a finding that moved is still the same")

	twice := prints(append(weak(), weak()...))
	seen := map[string]bool{}
	for _, p := range twice {
		assert.Len(t, p, 32)
		assert.False(t, seen[p], "no two results share one")
		seen[p] = true
	}
}

func TestSARIFLocations(t *testing.T) {
	for _, c := range []struct {
		source connsec.Position
		uri    string
		line   int
	}{
		{connsec.Position{File: "a b/ü#1%.yaml", Line: 2}, "a%20b/%C3%BC%231%25.yaml", 2},
		{connsec.Position{File: "./conf/../d.yaml", Line: -1, Column: -1}, "d.yaml", 0},
		{connsec.Position{File: "c:d.yaml", Line: 1}, "./c:d.yaml", 1},
		{connsec.Position{File: "d.yaml"}, "d.yaml", 0},
	} {
		r := hardened()
		r[0].Findings[0].Source = &c.source
		at := sarif(t, r, report.Options{Verbose: true}).Runs[0].Results[0].Locations[0].Physical
		assert.Equal(t, c.uri, at.Artifact.URI)
		if c.line == 0 {
			assert.Nil(t, at.Region)
		} else {
			assert.Equal(t, c.line, at.Region.StartLine)
		}
	}
}

func TestSARIFMessageIsPlain(t *testing.T) {
	r := hardened()
	r[0].Findings[0].Detail = "see [here](https://evil.example) for {0} and {x}"
	assert.Equal(t, "see [here] (https://evil.example) for {{0}} and {x}", sarif(t, r, report.Options{Verbose: true}).Runs[0].Results[0].Message.Text)
	r[0].Findings[0].Detail = ""
	assert.Equal(t, ruleExpired.Title, sarif(t, r, report.Options{Verbose: true}).Runs[0].Results[0].Message.Text)
}
