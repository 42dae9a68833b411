package house_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A file is read in one sitting, a function on one screen. The caps leave some room above what we aim for (400 and 60 lines).
const (
	maxFile     = 450
	maxFunction = 80
)

// source is one Go file of the module.
type source struct {
	path string // relative to the module's folder
	file *ast.File
	fset *token.FileSet
}

func (s source) test() bool { return strings.HasSuffix(s.path, "_test.go") }

// folder is the package's folder, "." for the module's.
func (s source) folder() string { return filepath.ToSlash(filepath.Dir(s.path)) }

// generated files are nobody's reading.
func (s source) generated() bool { return ast.IsGenerated(s.file) }

// sources parses all Go files of the module.
func sources(t *testing.T) []source {
	t.Helper()
	root := filepath.Join("..", "..")
	var all []source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		all = append(all, source{path: relative, file: file, fset: fset})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("found %d Go files only", len(all))
	}
	return all
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	t.Parallel()
	documented := map[string]bool{}
	for _, s := range sources(t) {
		if !s.test() {
			documented[s.folder()] = documented[s.folder()] || s.file.Doc != nil
		}
	}
	for _, folder := range slices.Sorted(maps.Keys(documented)) {
		if !documented[folder] {
			t.Errorf("package %s has no package comment", folder)
		}
	}
}

func TestFilesAreReadInOneSitting(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if s.generated() {
			continue
		}
		if lines := s.fset.Position(s.file.FileEnd).Line; !s.test() && lines > maxFile {
			t.Errorf("%s has %d lines, more than %d", s.path, lines, maxFile)
		}
		for _, decl := range s.file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || s.test() {
				continue
			}
			if lines := s.fset.Position(f.End()).Line - s.fset.Position(f.Pos()).Line + 1; lines > maxFunction {
				t.Errorf("%s: %s has %d lines, more than %d", s.fset.Position(f.Pos()), f.Name.Name, lines, maxFunction)
			}
		}
	}
}

// layer is a set of folders and what they may import of the module, besides packages of the same layer.
type layer struct {
	folders []string
	imports []string
	why     string
}

// layers are the arrows: cmd -> runtime -> { network, rootfs, images } -> internal.
var layers = []layer{
	{[]string{"internal"}, nil, "internal holds leaves: what knows nothing of containers, networks and images"},
	{[]string{"network"}, []string{"internal"}, "network acts on a namespace that it is handed, and knows no containers"},
	{[]string{"rootfs"}, []string{"internal"}, "rootfs knows layers and mounts, and no images or containers"},
	{[]string{"images"}, []string{"internal"}, "images knows no containers, and not how a layer is unpacked"},
	{[]string{"runtime"}, []string{"network", "rootfs", "images", "internal"}, "the runtime does not know its command line"},
	{[]string{"cmd", "hack"}, []string{"runtime", "network", "rootfs", "images", "internal"}, ""},
}

func TestImportsPointOneWay(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		l, ok := layerOf(s.folder())
		if !ok {
			t.Errorf("%s is in no layer", s.path)
			continue
		}
		for _, spec := range s.file.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			local, ok := strings.CutPrefix(path, "ctr/")
			// Tests make their hosts, whatever they test.
			if !ok || s.test() && local == "internal/testhost" {
				continue
			}
			if !within(local, l.folders) && !within(local, l.imports) {
				t.Errorf("%s imports %s: %s", s.path, path, l.why)
			}
		}
	}
}

func layerOf(folder string) (layer, bool) {
	for _, l := range layers {
		if within(folder, l.folders) {
			return l, true
		}
	}
	return layer{}, false
}

// within tells whether the folder is one of these or below one.
func within(folder string, tops []string) bool {
	return slices.ContainsFunc(tops, func(top string) bool { return folder == top || strings.HasPrefix(folder, top+"/") })
}

// light lists the packages that the small keeper of a running container links, and the only packages of the module that they
// may import. What they import is in the memory of every container.
var light = []string{
	"internal/proc", "network/netns", "network/names", "network/dns", "network/ports", "runtime/logs",
}

func TestKeeperStaysLight(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if s.test() || !slices.Contains(light, s.folder()) {
			continue
		}
		for _, spec := range s.file.Imports {
			path := strings.Trim(spec.Path.Value, `"`)
			local, ours := strings.CutPrefix(path, "ctr/")
			if ours && slices.Contains(light, local) || ours && local == "internal/durable" {
				continue
			}
			std := !strings.Contains(strings.SplitN(path, "/", 2)[0], ".")
			if ours || !std && !strings.HasPrefix(path, "golang.org/x/sys/") && path != "github.com/miekg/dns" {
				t.Errorf("%s imports %s, which every running container would then hold in memory", s.path, path)
			}
		}
	}
}

// What the user reads is the command line's to say.
func TestLibrariesDoNotPrint(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if s.test() || within(s.folder(), []string{"cmd", "hack", "internal/testhost"}) {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pkg, ok := sel.X.(*ast.Ident)
			if ok && pkg.Name == "fmt" && strings.HasPrefix(sel.Sel.Name, "Print") {
				t.Errorf("%s: fmt.%s in a library", s.fset.Position(n.Pos()), sel.Sel.Name)
			}
			return true
		})
	}
}
