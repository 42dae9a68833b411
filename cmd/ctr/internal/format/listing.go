package format

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/tabwriter"
	"text/template"

	"ctr/internal/parallel"
)

// Options are what all listings take.
type Options struct {
	Format  string // --format: empty or "table": the default table; "table TEMPLATE", "json", or a template
	Quiet   bool   // -q: only what names the row
	NoTrunc bool   // --no-trunc: whole IDs and texts
}

// Listing is one kind of table.
type Listing struct {
	columns string // the default table's template
	heads   heads  // the heading of each field
	quiet   string // the template of -q
	raw     string // the template of --format raw: a line for each field
}

// Write prints rows, which are all of the listing's row type.
func Write[R any](w io.Writer, l Listing, o Options, rows []R) error {
	text, isTable := o.Format, false
	switch {
	case o.Quiet && (text == "" || strings.HasPrefix(text, "table")):
		text = l.quiet
	case text == "" || text == "table":
		text, isTable = l.columns, true
	case text == "raw" && l.raw != "":
		text = l.raw
	case text == "json":
		text = "{{json .}}"
	default:
		if rest, ok := strings.CutPrefix(text, "table"); ok {
			text, isTable = strings.TrimSpace(rest), true
		}
	}
	t, err := Parse(text)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if isTable {
		if err := l.heading(&b, t); err != nil {
			return err
		}
	}
	texts, errs := make([]bytes.Buffer, len(rows)), make([]error, len(rows))
	parallel.For(len(rows), func(i int) { errs[i] = t.Execute(&texts[i], rows[i]) })
	for i, text := range texts {
		if errs[i] != nil {
			return fmt.Errorf("template parsing error: %w", errs[i])
		}
		b.Write(text.Bytes())
		b.WriteByte('\n')
	}
	if !isTable {
		_, err = w.Write(b.Bytes())
		return err
	}
	return align(w, b.Bytes())
}

// heading prints the first line of a table: its template with each field's heading for its value.
func (l Listing) heading(w io.Writer, t *template.Template) error {
	h, err := t.Clone()
	if err != nil {
		return err
	}
	if err := h.Funcs(headings).Execute(w, l.heads); err != nil {
		return fmt.Errorf("template parsing error: %w", err)
	}
	_, err = io.WriteString(w, "\n")
	return err
}

// heads are the headings of a listing's fields, by the fields' names.
type heads map[string]string

// Label is the heading of a label's column: the last word of its name.
func (heads) Label(name string) string {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		name = name[i+1:]
	}
	return strings.NewReplacer("-", " ", "_", " ").Replace(name)
}

// align lines the columns up as Docker does: at least ten wide, three spaces between.
func align(w io.Writer, text []byte) error {
	out := bufio.NewWriter(w) // a tabwriter writes each cell and each gap by itself
	t := tabwriter.NewWriter(out, 10, 1, 3, ' ', 0)
	if _, err := t.Write(text); err != nil {
		return err
	}
	return errors.Join(t.Flush(), out.Flush())
}

// rowJSON is a row's JSON as Docker prints it: each field without an argument as a text, sorted by name.
func rowJSON(row any) ([]byte, error) {
	v := reflect.ValueOf(row)
	fields := map[string]any{}
	for i := range v.NumMethod() {
		m := v.Type().Method(i)
		if m.Type.NumIn() == 1 && m.Type.NumOut() == 1 && m.Name != "String" {
			fields[m.Name] = v.Method(i).Call(nil)[0].Interface()
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(fields); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}

// TruncateID shortens an ID to its first 12 digits, without the name of the algorithm.
func TruncateID(id string) string {
	if _, digits, ok := strings.Cut(id, ":"); ok {
		id = digits
	}
	return id[:min(12, len(id))]
}

// ellipsis shortens a text to n characters, the last of which is then an ellipsis.
func ellipsis(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}
