package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// report is results.md: a head that describes the machine, and one section a row.
type report struct {
	head     string
	sections []section
}

type section struct {
	name, text string
}

func newReport(b *bench) *report {
	var s strings.Builder
	s.WriteString("# Benchmark results\n\nWritten by `make bench`. Commands are measured whole, from fork to exit; the contestants of a row take turns.\n")
	s.WriteString("The ratio is that of the medians, to the first contestant of the row, or to the one that it is meant to be compared with.\n\n")
	fmt.Fprintf(&s, "- machine: %s\n", machine())
	if version, err := command(nil, "runc", "--version"); err == nil {
		first, _, _ := strings.Cut(version, "\n")
		fmt.Fprintf(&s, "- runc: %s\n", first)
	}
	for _, p := range b.peers {
		if version, err := command(p.env, p.name, "--version"); err == nil {
			fmt.Fprintf(&s, "- %s: %s\n", p.name, version)
		}
	}
	for _, note := range b.notes {
		fmt.Fprintf(&s, "- %s\n", note)
	}
	return &report{head: s.String()}
}

// machine describes what the figures were measured on.
func machine() string {
	var uname unix.Utsname
	var info unix.Sysinfo_t
	if err := errors.Join(unix.Uname(&uname), unix.Sysinfo(&info)); err != nil {
		return err.Error()
	}
	cgroups := "cgroup v1 or hybrid"
	var fs unix.Statfs_t
	if err := unix.Statfs("/sys/fs/cgroup", &fs); err == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
		cgroups = "cgroup v2"
	}
	return fmt.Sprintf("Linux %s %s, %d cores, %d GiB, %s; load at the start %.2f; measured %s",
		unix.ByteSliceToString(uname.Release[:]), unix.ByteSliceToString(uname.Machine[:]), runtime.NumCPU(),
		(info.Totalram*uint64(info.Unit)+1<<29)>>30, cgroups, float64(info.Loads[0])/65536, time.Now().Format(time.DateOnly))
}

// add adds the section of a row.
func (r *report) add(row row, results []result) {
	var s strings.Builder
	fmt.Fprintf(&s, "## %s\n\n%s; %d rounds\n\n", row.name, row.title, len(results[0].values))
	fmt.Fprintf(&s, "| contestant | median %s | 10 %% - 90 %% | ratio | target |\n|---|---|---|---|---|\n", row.unit)
	for i, x := range results {
		if len(x.values) == 0 {
			fmt.Fprintf(&s, "| %s | failed %d times | | | |\n", x.name, x.failures)
			continue
		}
		base := slices.IndexFunc(results, func(o result) bool { return o.name == x.base })
		ratio := ""
		if base < 0 && x.base == "" && i > 0 {
			base = 0
		}
		var verdicts []string
		if base >= 0 && len(results[base].values) > 0 {
			value := x.median() / results[base].median()
			ratio = fmt.Sprintf("%.2f", value)
			verdicts = append(verdicts, verdict("", value, x.target, row.more), verdict("", value, x.slower, true))
		}
		verdicts = append(verdicts, verdict(" "+row.unit, x.median(), x.limit, row.more))
		if x.failures > 0 {
			verdicts = append(verdicts, fmt.Sprintf("failed in %d more rounds", x.failures))
		}
		if x.nothing {
			verdicts = append(verdicts, map[bool]string{true: "0, met", false: "0, MISSED"}[x.median() == 0])
		}
		fmt.Fprintf(&s, "| %s | %s | %s - %s | %s | %s |\n", x.name, figure(x.median()), figure(x.quantile(0.1)), figure(x.quantile(0.9)),
			ratio, strings.Join(slices.DeleteFunc(verdicts, func(v string) bool { return v == "" }), "; "))
	}
	r.sections = append(r.sections, section{row.name, s.String()})
}

// verdict compares a value with what we aim for; 0: nothing.
func verdict(unit string, value, target float64, more bool) string {
	if target == 0 {
		return ""
	}
	word, met := "at most", value <= target
	if more {
		word, met = "at least", value >= target
	}
	if met {
		return fmt.Sprintf("%s %g%s, met", word, target, unit)
	}
	return fmt.Sprintf("%s %g%s, MISSED", word, target, unit)
}

// figure writes a value with the digits that mean something.
func figure(v float64) string {
	switch {
	case v >= 1000:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func (r *report) text() string {
	parts := []string{r.head}
	for _, s := range r.sections {
		parts = append(parts, s.text)
	}
	return strings.Join(parts, "\n")
}

// write writes the report. With only one row measured, the sections of the others are kept.
func (r *report) write(path, only string) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if only == "" || len(old) == 0 {
		return os.WriteFile(path, []byte(r.text()), 0o644)
	}
	mine := r.sections[0].text
	section := regexp.MustCompile(`(?ms)^## ` + regexp.QuoteMeta(only) + `\n.*?(\n## |\z)`)
	if !section.Match(old) {
		return os.WriteFile(path, append(append(old, '\n'), mine...), 0o644)
	}
	text := section.ReplaceAllStringFunc(string(old), func(match string) string {
		return mine + section.FindStringSubmatch(match)[1]
	})
	return os.WriteFile(path, []byte(text), 0o644)
}
