package report_test

import (
	"encoding/json"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/internal/realsrv"
	"github.com/connsec/connsec/report"
)

var (
	sampleLine = regexp.MustCompile(`^([a-z_]+)\{((?:[a-z]+="(?:[^"\\]|\\["\\n])*",?)+)\} ([0-9.]+)$`)
	labelPair  = regexp.MustCompile(`([a-z]+)="((?:[^"\\]|\\.)*)"`)
	unescape   = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n")
)

type sampled struct {
	name   string
	labels map[string]string
	value  float64
}

// openMetrics reads the text by the grammar of the specification, as far as gauges need it.
func openMetrics(t *testing.T, text string) []sampled {
	t.Helper()
	body, ok := strings.CutSuffix(text, "# EOF\n")
	require.True(t, ok, "the last line is # EOF")
	var out []sampled
	family, types, seen := "", map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(body) {
		line = strings.TrimSuffix(line, "\n")
		if meta, ok := strings.CutPrefix(line, "# "); ok {
			kind, rest, _ := strings.Cut(meta, " ")
			name, value, _ := strings.Cut(rest, " ")
			switch kind {
			case "TYPE":
				require.Equal(t, "gauge", value)
				require.False(t, types[name], "a family stands in one piece")
				types[name], family = true, name
			case "UNIT":
				require.True(t, strings.HasSuffix(name, "_"+value), "the unit is the suffix of the name")
				fallthrough
			case "HELP":
				require.Equal(t, family, name)
			default:
				t.Fatalf("unknown metadata: %s", line)
			}
			continue
		}
		m := sampleLine.FindStringSubmatch(line)
		require.NotNil(t, m, "not a sample: %s", line)
		require.Equal(t, family, m[1])
		require.False(t, seen[m[1]+m[2]], "one sample for each label set: %s", line)
		seen[m[1]+m[2]] = true
		s := sampled{name: m[1], labels: map[string]string{}}
		for _, p := range labelPair.FindAllStringSubmatch(m[2], -1) {
			require.NotContains(t, s.labels, p[1])
			s.labels[p[1]] = unescape.Replace(p[2])
		}
		var err error
		s.value, err = strconv.ParseFloat(m[3], 64)
		require.NoError(t, err)
		out = append(out, s)
	}
	return out
}

func TestOpenMetrics(t *testing.T) {
	count := func(samples []sampled, name string, labels map[string]string) (n int, sum float64) {
	next:
		for _, s := range samples {
			for k, v := range labels {
				if s.name != name || s.labels[k] != v {
					continue next
				}
			}
			n++
			sum += s.value
		}
		return n, sum
	}
	samples := openMetrics(t, render(t, report.OpenMetrics, weak(), report.Options{}))
	n, sum := count(samples, "connsec_findings", map[string]string{"outcome": "fail"})
	assert.Equal(t, 15, n, "zeros included")
	assert.Equal(t, 4.0, sum)
	_, sum = count(samples, "connsec_findings", map[string]string{"target": "dc1.corp.example"})
	assert.Equal(t, 3.0, sum)
	n, _ = count(samples, "connsec_finding", map[string]string{"rule": "sample-cleartext-bind", "severity": "critical", "outcome": "fail"})
	assert.Equal(t, 2, n)
	n, _ = count(samples, "connsec_finding", map[string]string{"outcome": "pass"})
	assert.Zero(t, n)
	_, at := count(samples, "connsec_report_timestamp_seconds", map[string]string{"target": "dc1.corp.example"})
	assert.Equal(t, float64(sampleTime.Unix()), at)
	_, took := count(samples, "connsec_report_duration_seconds", map[string]string{"target": "dc1.corp.example"})
	assert.Equal(t, 0.084, took)

	all := openMetrics(t, render(t, report.OpenMetrics, weak(), report.Options{Verbose: true}))
	n, _ = count(all, "connsec_finding", map[string]string{"outcome": "pass"})
	assert.Equal(t, 2, n)

	twice := openMetrics(t, render(t, report.OpenMetrics, append(weak(), weak()...), report.Options{}))
	assert.Len(t, twice, len(samples), "two reports on one target are one series")
	_, sum = count(twice, "connsec_findings", map[string]string{"outcome": "fail"})
	assert.Equal(t, 8.0, sum)

	for _, s := range openMetrics(t, render(t, report.OpenMetrics, attacked(), report.Options{Verbose: true})) {
		assert.Contains(t, s.labels["target"], `\x1b[31mred`)
		assert.Contains(t, s.labels["target"], `"q" 'q'`)
	}
	assert.Empty(t, openMetrics(t, render(t, report.OpenMetrics, nil, report.Options{})))
}

// TestOpenMetricsIsReadByTheReferenceParser: the Python client's, which refuses what the specification
// forbids, sees the same samples.
func TestOpenMetricsIsReadByTheReferenceParser(t *testing.T) {
	python := realsrv.Need(t, "python3-prometheus-client")
	const script = `import json, sys
from prometheus_client.openmetrics import parser
text = sys.stdin.buffer.read().decode("utf-8")
json.dump([[s.name, s.labels, s.value] for f in parser.text_string_to_metric_families(text) for s in f.samples], sys.stdout)`
	parse := func(text string) ([]sampled, error) {
		cmd := exec.CommandContext(t.Context(), python, "-c", script)
		cmd.Stdin = strings.NewReader(text)
		out, err := cmd.Output()
		if err != nil {
			return nil, err
		}
		var rows [][3]any
		require.NoError(t, json.Unmarshal(out, &rows))
		var samples []sampled
		for _, row := range rows {
			s := sampled{name: row[0].(string), labels: map[string]string{}, value: row[2].(float64)}
			for k, v := range row[1].(map[string]any) {
				s.labels[k] = v.(string)
			}
			samples = append(samples, s)
		}
		return samples, nil
	}
	for name, reports := range map[string][]connsec.Report{"weak": weak(), "hardened": hardened(), "attacked": attacked(), "twice": append(weak(), weak()...)} {
		t.Run(name, func(t *testing.T) {
			text := render(t, report.OpenMetrics, reports, report.Options{Verbose: true})
			seen, err := parse(text)
			require.NoError(t, err)
			assert.Equal(t, openMetrics(t, text), seen)
			_, err = parse(strings.Replace(text, "# EOF\n", "", 1))
			require.Error(t, err, "it is strict")
		})
	}
}
