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

// Open opens a file for Read; "-" is standard input. Files compressed by gzip are recognised by their first bytes. What it gives for a
// file also has a method Progress, which tells how many bytes of the file were read, of how many.
func Open(path string) (io.ReadCloser, error) {
	if path == "-" {
		return uncompress(os.Stdin, io.NopCloser(nil))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, openFault(path, err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		return nil, errors.Join(engine.Errorf(engine.CodeInvalid, "%s is a folder: name the files in it", path), f.Close())
	}
	if err != nil || !info.Mode().IsRegular() { // a pipe has no size
		return uncompress(f, f)
	}
	counted := &counter{Reader: f, size: info.Size()}
	in, err := uncompress(counted, f)
	if err != nil {
		return nil, err
	}
	return file{in, counted}, nil
}

// file is an opened file of a known size.
type file struct {
	io.ReadCloser
	counted *counter
}

// Progress tells how many bytes of the file, as it lies there, were read, of how many.
func (f file) Progress() (read, size int64) { return f.counted.read, f.counted.size }

// counter counts what passes.
type counter struct {
	io.Reader
	read, size int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += int64(n)
	return n, err
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
