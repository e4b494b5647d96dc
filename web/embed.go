// Package web holds the pages that the server shows: today the explorer.
package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed explorer
var files embed.FS

// Policy lets a page load only what the server itself has.
const Policy = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"

// explorerPolicy: GraphiQL writes style elements, and its style sheet holds its fonts.
const explorerPolicy = Policy + "; style-src 'self' 'unsafe-inline'; font-src 'self' data:"

// vendored are the third-party files of the explorer, which `make web` puts into its folder.
var vendored = []string{"vendor/react.js", "vendor/react-dom.js", "vendor/graphiql.js", "vendor/graphiql.css"}

type asset struct {
	body        []byte
	media, etag string
}

// Explorer gives the explorer's page; false where its third-party files are not built in.
func Explorer() (http.Handler, bool) {
	assets := map[string]asset{}
	err := fs.WalkDir(files, "explorer", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := files.ReadFile(name)
		sum := sha256.Sum256(body)
		assets[strings.TrimPrefix(name, "explorer/")] = asset{body, mime.TypeByExtension(path.Ext(name)), `"` + hex.EncodeToString(sum[:8]) + `"`}
		return err
	})
	if err != nil {
		return nil, false
	}
	for _, name := range vendored {
		if _, ok := assets[name]; !ok {
			return nil, false
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		if name == "" {
			name = "index.html"
		}
		a, ok := assets[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", explorerPolicy)
		h.Set("Content-Type", a.media)
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", a.etag)
		if r.Header.Get("If-None-Match") == a.etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(a.body)
	}), true
}
