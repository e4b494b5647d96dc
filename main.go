// Command quimbi sorts a shop's customers by how they buy and tells when they change.
package main

import (
	"os"

	"github.com/quimbi/quimbi/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}
