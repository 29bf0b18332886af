package catalog

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// source is what the Go files of one directory say about rules.
type source struct {
	dir      string // relative to the module's root, with slashes
	literals []literal
	rules    bool // has func Rules() []*connsec.Rule
	tracked  bool // a test calls ruletest.Track
}

// literal is one connsec.Rule{…} outside tests.
type literal struct {
	id    string // "" if it is not a plain string
	name  string // of the package variable that holds it, or ""
	place token.Position
}

// sources reads every Go package below root, without compiling: a package that nobody lists
// yet has to be found, too. Nested modules, testdata and hidden directories are left out.
func sources(root string) ([]source, error) {
	var out []source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if path != root {
			if strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil {
				return filepath.SkipDir
			}
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		s, err := readSource(path)
		s.dir = filepath.ToSlash(rel)
		if s.rules || len(s.literals) > 0 {
			out = append(out, s)
		}
		return err
	})
	return out, err
}

func readSource(dir string) (source, error) {
	var s source
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return s, err
	}
	fset := token.NewFileSet()
	for _, name := range names {
		file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return s, err
		}
		if strings.HasSuffix(name, "_test.go") {
			ast.Inspect(file, func(n ast.Node) bool {
				s.tracked = s.tracked || isSelector(n, "ruletest", "Track")
				return true
			})
			continue
		}
		s.collect(fset, file)
	}
	return s, nil
}

func (s *source) collect(fset *token.FileSet, file *ast.File) {
	names := map[ast.Node]string{}
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			s.rules = s.rules || d.Recv == nil && d.Name.Name == "Rules" && d.Type.Params.NumFields() == 0
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				v, ok := spec.(*ast.ValueSpec)
				if !ok {
					continue
				}
				for i, value := range v.Values {
					if u, ok := value.(*ast.UnaryExpr); ok && i < len(v.Names) {
						names[u.X] = v.Names[i].Name
					}
				}
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		c, ok := n.(*ast.CompositeLit)
		if !ok || !isSelector(c.Type, "connsec", "Rule") {
			return true
		}
		s.literals = append(s.literals, literal{id(c), names[c], fset.Position(c.Pos())})
		return true
	})
}

// id is the value of the ID field if it is a string literal.
func id(c *ast.CompositeLit) string {
	for _, e := range c.Elts {
		kv, ok := e.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		if k, ok := kv.Key.(*ast.Ident); !ok || k.Name != "ID" {
			continue
		}
		if v, ok := kv.Value.(*ast.BasicLit); ok && v.Kind == token.STRING {
			s, _ := strconv.Unquote(v.Value)
			return s
		}
	}
	return ""
}

func isSelector(n ast.Node, pkg, name string) bool {
	s, ok := n.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != name {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == pkg
}
