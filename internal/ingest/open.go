package ingest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/quimbi/quimbi/engine"
)

// Open opens a file for Read; "-" is standard input. Files compressed by gzip are recognised by their first bytes.
func Open(path string) (io.ReadCloser, error) {
	if path == "-" {
		return uncompress(os.Stdin, io.NopCloser(nil))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, openFault(path, err)
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, errors.Join(engine.Errorf(engine.CodeInvalid, "%s is a folder: name the files in it", path), f.Close())
	}
	return uncompress(f, f)
}

func openFault(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return engine.Errorf(engine.CodeNotFound, "there is no file %s", path)
	case errors.Is(err, fs.ErrPermission):
		return engine.Errorf(engine.CodeForbidden, "the file %s may not be read", path)
	}
	return engine.Errorf(engine.CodeInvalid, "the file %s cannot be opened: %v", path, err)
}

// opened closes the file below what is read.
type opened struct {
	io.Reader
	io.Closer
}

func uncompress(r io.Reader, c io.Closer) (io.ReadCloser, error) {
	b := bufio.NewReaderSize(r, 256<<10)
	magic, err := b.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(engine.Errorf(engine.CodeInvalid, "the file cannot be read: %v", err), c.Close())
	}
	if !bytes.Equal(magic, []byte{0x1F, 0x8B}) {
		return opened{b, c}, nil
	}
	z, err := gzip.NewReader(b)
	if err != nil {
		return nil, errors.Join(engine.Errorf(engine.CodeInvalid, "the .gz file is damaged: %v", err), c.Close())
	}
	return opened{z, c}, nil
}
