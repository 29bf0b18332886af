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

// add adds to the sample of the labels, which it makes if need be.
func (s *series) add(labels string, v float64) {
	if s.values == nil {
		s.values = map[string]float64{}
	}
	if _, ok := s.values[labels]; !ok {
		s.order = append(s.order, labels)
	}
	s.values[labels] += v
}

// latest keeps the greatest value that the sample had.
func (s *series) latest(labels string, v float64) {
	s.add(labels, 0)
	s.values[labels] = max(s.values[labels], v)
}

func label(name, value string) string {
	return name + `="` + labelEscaper.Replace(clean(value)) + `"`
}

var labelEscaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func (s *series) write(w *bufio.Writer, name, unit, help string) {
	fmt.Fprintf(w, "# TYPE %s gauge\n", name)
	if unit != "" {
		fmt.Fprintf(w, "# UNIT %s %s\n", name, unit)
	}
	fmt.Fprintf(w, "# HELP %s %s\n", name, help)
	for _, key := range s.order {
		_, _ = w.WriteString(name)
		_ = w.WriteByte('{')
		_, _ = w.WriteString(key)
		_, _ = w.WriteString("} ")
		_, _ = w.Write(strconv.AppendFloat(w.AvailableBuffer(), s.values[key], 'f', -1, 64))
		_ = w.WriteByte('\n')
	}
}

func writeOpenMetrics(w *bufio.Writer, reports []connsec.Report, opts Options) error {
	var counts, findings, times, durations series
	for _, r := range reports {
		target := label("target", r.Target)
		var n [connsec.Critical + 1][connsec.Waived + 1]int
		for _, f := range r.Findings {
			n[f.Severity][f.Outcome]++
			if opts.Verbose || f.Outcome != connsec.Pass && f.Outcome != connsec.NotApplicable {
				findings.latest(target+","+label("subject", f.Subject)+","+label("rule", f.Rule.ID)+
					`,severity="`+f.Severity.String()+`",outcome="`+f.Outcome.String()+`"`, 1)
			}
		}
		for _, s := range connsec.Severities() {
			for _, o := range connsec.Outcomes() {
				counts.add(target+`,severity="`+s.String()+`",outcome="`+o.String()+`"`, float64(n[s][o]))
			}
		}
		if !r.At.IsZero() {
			times.latest(target, float64(r.At.UnixMilli())/1000)
		}
		durations.latest(target, r.Duration.Seconds())
	}
	counts.write(w, "connsec_findings", "", "Findings by severity and outcome.")
	findings.write(w, "connsec_finding", "", "One for each finding; passed and not applicable ones only when asked for.")
	times.write(w, "connsec_report_timestamp_seconds", "seconds", "When the facts were taken, as Unix time.")
	durations.write(w, "connsec_report_duration_seconds", "seconds", "How long it took to take the facts.")
	_, err := w.WriteString("# EOF\n")
	return err
}
