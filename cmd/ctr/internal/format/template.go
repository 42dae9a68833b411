package format

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"text/template"
	"text/template/parse"
	"unicode"
)

// functions are what Docker's templates have besides those of text/template.
var functions = template.FuncMap{
	"json":     toJSON,
	"split":    strings.Split,
	"join":     join,
	"title":    title,
	"lower":    strings.ToLower,
	"upper":    strings.ToUpper,
	"pad":      pad,
	"truncate": truncate,
	blank:      orNothing,
}

// headings are the functions while the heading of a table is made: a column keeps its name whatever is done to its values.
var headings = template.FuncMap{
	"json":     func(v any) any { return v },
	"split":    func(v any, _ string) any { return v },
	"join":     func(v any, _ string) any { return v },
	"title":    func(v any) any { return v },
	"lower":    func(v any) any { return v },
	"upper":    func(v any) any { return v },
	"truncate": func(v any, _ int) any { return v },
}

// Parse parses a --format template. Outside of actions the two letters \t and \n stand for a tab and a line end, since a
// shell's quotes pass them on as they are.
func Parse(text string) (*template.Template, error) {
	t, err := template.New("").Funcs(functions).Parse(unescape(text))
	if err != nil {
		return nil, fmt.Errorf("template parsing error: %w", err)
	}
	for _, part := range t.Templates() {
		blankList(part.Tree, part.Root)
	}
	return t, nil
}

func unescape(text string) string {
	letters := strings.NewReplacer(`\t`, "\t", `\n`, "\n")
	var b strings.Builder
	for {
		plain, rest, found := strings.Cut(text, "{{")
		b.WriteString(letters.Replace(plain))
		if !found {
			return b.String()
		}
		action, after, ended := strings.Cut(rest, "}}")
		b.WriteString("{{" + action)
		if !ended {
			return b.String()
		}
		b.WriteString("}}")
		text = after
	}
}

// blank is the name of the function that every printed value goes through. No user can write it.
const blank = "_blank"

// orNothing makes an address that is not there print as nothing. As a netip type it would print "invalid IP", which scripts that
// test for an empty text take for an address.
func orNothing(v any) any {
	switch a := v.(type) {
	case netip.Addr:
		if !a.IsValid() {
			return ""
		}
	case netip.Prefix:
		if !a.IsValid() {
			return ""
		}
	}
	return v
}

// blankList appends the function to the pipelines of a template that print something, as html/template does with its own.
func blankList(tree *parse.Tree, list *parse.ListNode) {
	if list == nil {
		return
	}
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.ActionNode:
			if len(n.Pipe.Decl) == 0 {
				name := parse.NewIdentifier(blank).SetTree(tree).SetPos(n.Pos)
				n.Pipe.Cmds = append(n.Pipe.Cmds, &parse.CommandNode{NodeType: parse.NodeCommand, Pos: n.Pos, Args: []parse.Node{name}})
			}
		case *parse.IfNode:
			blankList(tree, n.List)
			blankList(tree, n.ElseList)
		case *parse.RangeNode:
			blankList(tree, n.List)
			blankList(tree, n.ElseList)
		case *parse.WithNode:
			blankList(tree, n.List)
			blankList(tree, n.ElseList)
		}
	}
}

func toJSON(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", err
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// join takes any list, since a list that came by way of JSON is one of interfaces.
func join(list any, sep string) (string, error) {
	v := reflect.ValueOf(list)
	if !v.IsValid() {
		return "", nil
	}
	if v.Kind() != reflect.Slice && v.Kind() != reflect.Array {
		return "", fmt.Errorf("expected a list, got %T", list)
	}
	parts := make([]string, v.Len())
	for i := range parts {
		parts[i] = fmt.Sprint(v.Index(i).Interface())
	}
	return strings.Join(parts, sep), nil
}

// title makes the first letter of each word a capital.
func title(s string) string {
	start := true
	return strings.Map(func(r rune) rune {
		was := start
		start = !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '\''
		if was {
			return unicode.ToTitle(r)
		}
		return r
	}, s)
}

// maxPad bounds the spaces of one pad.
const maxPad = 1 << 10

func pad(s string, before, after int) string {
	if s == "" {
		return ""
	}
	return strings.Repeat(" ", max(0, min(before, maxPad))) + s + strings.Repeat(" ", max(0, min(after, maxPad)))
}

func truncate(s string, n int) string {
	if n < 0 || len(s) < n {
		return s
	}
	return s[:n]
}

// Execute prints v by a template, followed by a line end. A field that the Go type does not have is looked up in what is
// its JSON, where names are those of Docker's API (.Id besides .ID).
func Execute(t *template.Template, v any) ([]byte, error) {
	var b bytes.Buffer
	err := t.Execute(&b, v)
	if err != nil {
		raw, jsonErr := json.Marshal(v)
		if jsonErr != nil {
			return nil, fmt.Errorf("template parsing error: %w", err)
		}
		var m any
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		if d.Decode(&m) != nil {
			return nil, fmt.Errorf("template parsing error: %w", err)
		}
		b.Reset()
		if t.Option("missingkey=error").Execute(&b, m) != nil {
			return nil, fmt.Errorf("template parsing error: %w", err)
		}
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}
