package report

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"math"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/connsec/connsec"
)

// The parts of SARIF 2.1.0 that are used, under the names of the specification:
// https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html

type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool        sarifTool         `json:"tool"`
	Invocations []sarifInvocation `json:"invocations"`
	ColumnKind  string            `json:"columnKind"`
	Results     []sarifResult     `json:"results"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name            string      `json:"name"`
	SemanticVersion string      `json:"semanticVersion,omitempty"`
	Rules           []sarifRule `json:"rules"`
}

type sarifInvocation struct {
	ExecutionSuccessful bool   `json:"executionSuccessful"`
	StartTimeUTC        string `json:"startTimeUtc,omitempty"`
}

type sarifRule struct {
	ID                   string         `json:"id"`
	ShortDescription     *sarifText     `json:"shortDescription,omitempty"`
	FullDescription      *sarifText     `json:"fullDescription,omitempty"`
	Help                 *sarifText     `json:"help,omitempty"`
	HelpURI              string         `json:"helpUri,omitempty"`
	DefaultConfiguration sarifConfig    `json:"defaultConfiguration"`
	Properties           sarifRuleProps `json:"properties"`
}

type sarifConfig struct {
	Level string `json:"level"`
}

type sarifRuleProps struct {
	Tags []string `json:"tags"`
	// A number as text from 0.1 to 10.0, by which GitHub sorts and names severities.
	SecuritySeverity string `json:"security-severity"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifResult struct {
	RuleID              string             `json:"ruleId"`
	RuleIndex           int                `json:"ruleIndex"`
	Kind                string             `json:"kind"`
	Level               string             `json:"level"`
	Message             sarifText          `json:"message"`
	Locations           []sarifLocation    `json:"locations"`
	PartialFingerprints map[string]string  `json:"partialFingerprints"`
	Suppressions        []sarifSuppression `json:"suppressions,omitempty"`
	Properties          sarifResultProps   `json:"properties"`
}

type sarifResultProps struct {
	Target   string            `json:"target"`
	Severity connsec.Severity  `json:"severity"`
	Outcome  connsec.Outcome   `json:"outcome"`
	Evidence map[string]string `json:"evidence,omitempty"`
}

type sarifLocation struct {
	PhysicalLocation *sarifPhysical `json:"physicalLocation,omitempty"`
	LogicalLocations []sarifLogical `json:"logicalLocations,omitempty"`
}

type sarifPhysical struct {
	ArtifactLocation struct {
		URI string `json:"uri"`
	} `json:"artifactLocation"`
	Region *sarifRegion `json:"region,omitempty"`
}

type sarifRegion struct {
	StartLine   int `json:"startLine"`
	StartColumn int `json:"startColumn,omitempty"`
}

type sarifLogical struct {
	Name               string `json:"name"`
	FullyQualifiedName string `json:"fullyQualifiedName,omitempty"`
	Kind               string `json:"kind"`
}

type sarifSuppression struct {
	Kind          string `json:"kind"`
	Status        string `json:"status"`
	Justification string `json:"justification,omitempty"`
}

var sarifLevel = [...]string{
	connsec.Info: "note", connsec.Low: "note", connsec.Medium: "warning", connsec.High: "error", connsec.Critical: "error",
}

// The middle of the CVSS ranges that carry the same names.
var securitySeverity = [...]string{
	connsec.Info: "0.1", connsec.Low: "2.0", connsec.Medium: "5.5", connsec.High: "8.0", connsec.Critical: "9.5",
}

// Kinds by outcome, section 3.27.9. "open" is the specification's word for inconclusive. A
// waived failure stays a failure and is suppressed.
var sarifKind = [...]string{
	connsec.Pass: "pass", connsec.Fail: "fail", connsec.NotApplicable: "notApplicable", connsec.Inconclusive: "open", connsec.Waived: "fail",
}

func writeSARIF(w *bufio.Writer, reports []connsec.Report, opts Options) error {
	run := sarifRun{
		Tool:        sarifTool{sarifDriver{Name: "connsec", SemanticVersion: opts.Version, Rules: []sarifRule{}}},
		Invocations: []sarifInvocation{{ExecutionSuccessful: true}},
		ColumnKind:  "unicodeCodePoints", // as connsec.Position has them
		Results:     []sarifResult{},
	}
	var start time.Time
	index := map[*connsec.Rule]int{}
	seen := map[string]int{}
	for _, r := range reports {
		if !r.At.IsZero() && (start.IsZero() || r.At.Before(start)) {
			start = r.At
		}
		for _, f := range r.Findings {
			// Hosts that show results show all of them as problems, whatever their kind.
			if !opts.Verbose && (f.Outcome == connsec.Pass || f.Outcome == connsec.NotApplicable) {
				continue
			}
			i, ok := index[f.Rule]
			if !ok {
				i = len(run.Tool.Driver.Rules)
				index[f.Rule] = i
				run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRuleOf(f.Rule))
			}
			run.Results = append(run.Results, sarifResultOf(r.Target, f, i, seen))
		}
	}
	if !start.IsZero() {
		run.Invocations[0].StartTimeUTC = start.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	return indented(w, sarifLog{"https://json.schemastore.org/sarif-2.1.0.json", "2.1.0", []sarifRun{run}})
}

func sarifRuleOf(r *connsec.Rule) sarifRule {
	out := sarifRule{
		ID:                   r.ID,
		ShortDescription:     someText(r.Title),
		FullDescription:      someText(r.Why),
		Help:                 someText(r.Fix),
		DefaultConfiguration: sarifConfig{"none"},
		Properties:           sarifRuleProps{Tags: []string{"security"}},
	}
	if r.Severity.Valid() {
		out.DefaultConfiguration.Level = sarifLevel[r.Severity]
		out.Properties.SecuritySeverity = securitySeverity[r.Severity]
	}
	for _, c := range r.Refs {
		if c.URL != "" {
			out.HelpURI = c.URL
			break
		}
	}
	return out
}

func someText(s string) *sarifText {
	if s == "" {
		return nil
	}
	return &sarifText{s}
}

func sarifResultOf(target string, f connsec.Finding, ruleIndex int, seen map[string]int) sarifResult {
	text := f.Detail
	if text == "" {
		text = f.Rule.Title
	}
	out := sarifResult{
		RuleID: f.Rule.ID, RuleIndex: ruleIndex, Kind: sarifKind[f.Outcome], Level: "none",
		Message:    sarifText{sarifMessage(text)},
		Locations:  []sarifLocation{},
		Properties: sarifResultProps{target, f.Severity, f.Outcome, map[string]string{}},
	}
	if out.Kind == "fail" { // any other kind has no level, section 3.27.10
		out.Level = sarifLevel[f.Severity]
	}
	for _, a := range f.Evidence {
		out.Properties.Evidence[a.Key] = a.Value
	}
	var at sarifLocation
	if f.Source != nil && f.Source.File != "" {
		at.PhysicalLocation = &sarifPhysical{}
		at.PhysicalLocation.ArtifactLocation.URI = fileURI(f.Source.File)
		if f.Source.Line > 0 {
			// Without a column, the region is the line (sections 3.30.6 and 3.30.8).
			at.PhysicalLocation.Region = &sarifRegion{f.Source.Line, max(f.Source.Column, 0)}
		}
	}
	if subject := f.Subject; subject != "" {
		at.LogicalLocations = []sarifLogical{{Name: subject, Kind: "resource"}}
		if target != "" && target != subject {
			at.LogicalLocations[0].FullyQualifiedName = target + "/" + subject
		}
	}
	if at.PhysicalLocation != nil || at.LogicalLocations != nil {
		out.Locations = append(out.Locations, at)
	}
	if f.Outcome == connsec.Waived {
		s := sarifSuppression{Kind: "external", Status: "accepted"}
		if f.Waiver != nil {
			s.Justification = f.Waiver.Reason + " (until " + f.Waiver.Until.Format(time.DateOnly) + ")"
		}
		out.Suppressions = []sarifSuppression{s}
	}
	out.PartialFingerprints = map[string]string{"connsec/v1": fingerprint(target, f, seen)}
	return out
}

// sarifMessage defuses what a viewer would interpret in a message, sections 3.11.5 and 3.11.6:
// placeholders such as {0}, and links such as [text](address), which a peer could have sent.
func sarifMessage(s string) string {
	s = strings.ReplaceAll(legible(s, math.MaxInt), "](", "] (")
	return placeholder.ReplaceAllString(s, "{$0}")
}

var placeholder = regexp.MustCompile(`\{[0-9]+\}`)

// fingerprint is the same for the same rule on the same subject from run to run, wherever its
// setting has moved in the file. Repetitions within one log are numbered.
func fingerprint(target string, f connsec.Finding, seen map[string]int) string {
	key := strings.Join([]string{f.Rule.ID, target, f.Subject}, "\x00")
	sum := sha256.Sum256(append([]byte(key), byte(seen[key]), byte(seen[key]>>8)))
	seen[key]++
	return hex.EncodeToString(sum[:16])
}

// fileURI is a relative reference for a relative path, so that it means a file of the
// repository, and a file URI for an absolute one (RFC 8089).
func fileURI(name string) string {
	name = filepath.ToSlash(name)
	if filepath.IsAbs(name) {
		return (&url.URL{Scheme: "file", Path: "/" + strings.TrimPrefix(name, "/")}).String()
	}
	return (&url.URL{Path: path.Clean(name)}).String()
}
