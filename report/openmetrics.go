package report

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"

	"github.com/connsec/connsec"
)

// OpenMetrics 1.0, https://prometheus.io/docs/specs/om/open_metrics_spec/. Metric names and
// label names are part of the API.
//
//	connsec_findings{target,severity,outcome}                 how many, zeros included
//	connsec_finding{target,subject,rule,severity,outcome}     one series for each finding
//	connsec_report_timestamp_seconds{target}                  when the facts were taken
//	connsec_report_duration_seconds{target}                   how long that took

// series collects the samples of one metric. Equal label sets, as two reports on one target
// give, are one sample: the format forbids two.
type series struct {
	order  []string
	values map[string]float64
}

func (s *series) at(labels ...string) string {
	var b strings.Builder
	for i := 0; i < len(labels); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(labels[i])
		b.WriteString(`="`)
		b.WriteString(labelEscaper.Replace(clean(labels[i+1])))
		b.WriteByte('"')
	}
	key := b.String()
	if s.values == nil {
		s.values = map[string]float64{}
	}
	if _, ok := s.values[key]; !ok {
		s.order = append(s.order, key)
		s.values[key] = 0
	}
	return key
}

var labelEscaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func (s *series) write(w *bufio.Writer, name, unit, help string) {
	fmt.Fprintf(w, "# TYPE %s gauge\n", name)
	if unit != "" {
		fmt.Fprintf(w, "# UNIT %s %s\n", name, unit)
	}
	fmt.Fprintf(w, "# HELP %s %s\n", name, help)
	for _, key := range s.order {
		fmt.Fprintf(w, "%s{%s} %s\n", name, key, strconv.FormatFloat(s.values[key], 'f', -1, 64))
	}
}

func writeOpenMetrics(w *bufio.Writer, reports []connsec.Report, opts Options) error {
	var counts, findings, times, durations series
	for _, r := range reports {
		for _, s := range connsec.Severities() {
			for _, o := range connsec.Outcomes() {
				counts.at("target", r.Target, "severity", s.String(), "outcome", o.String())
			}
		}
		for _, f := range r.Findings {
			counts.values[counts.at("target", r.Target, "severity", f.Severity.String(), "outcome", f.Outcome.String())]++
			if opts.Verbose || f.Outcome != connsec.Pass && f.Outcome != connsec.NotApplicable {
				findings.values[findings.at("target", r.Target, "subject", f.Subject, "rule", f.Rule.ID,
					"severity", f.Severity.String(), "outcome", f.Outcome.String())] = 1
			}
		}
		if !r.At.IsZero() {
			key := times.at("target", r.Target)
			times.values[key] = max(times.values[key], float64(r.At.UnixMilli())/1000)
		}
		key := durations.at("target", r.Target)
		durations.values[key] = max(durations.values[key], r.Duration.Seconds())
	}
	counts.write(w, "connsec_findings", "", "Findings by severity and outcome.")
	findings.write(w, "connsec_finding", "", "One for each finding; passed and not applicable ones only when asked for.")
	times.write(w, "connsec_report_timestamp_seconds", "seconds", "When the facts were taken, as Unix time.")
	durations.write(w, "connsec_report_duration_seconds", "seconds", "How long it took to take the facts.")
	_, err := w.WriteString("# EOF\n")
	return err
}
