// Command gen writes the generated documentation of the rules.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/connsec/connsec/internal/catalog"
)

func main() {
	out := flag.String("out", "", "file to write")
	flag.Parse()
	if *out == "" {
		fmt.Fprintln(os.Stderr, "gen: name the file to write with -out")
		os.Exit(2)
	}
	if err := os.WriteFile(*out, catalog.Document(), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}
