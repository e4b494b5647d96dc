package cli

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/quimbi/quimbi/engine"
)

const outputBuffer = 1 << 18

// writeFile writes a file that others may not read, since it names customers. It takes the place of one that is there only
// when it is whole; what is no regular file, such as a pipe, is written to as it is. Fault: INVALID where it cannot be
// made; option is how it was named.
func writeFile(path, option string, write func(io.Writer) error) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return noFile(path, option)
		}
		return errors.Join(buffered(file, write), file.Close())
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return noFile(path, option)
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return noFile(path, option)
	}
	err = errors.Join(buffered(file, write), file.Sync(), file.Close())
	if err == nil {
		if err = os.Rename(file.Name(), path); err == nil {
			return nil
		}
	}
	return errors.Join(err, os.Remove(file.Name()))
}

func buffered(file io.Writer, write func(io.Writer) error) error {
	out := bufio.NewWriterSize(file, outputBuffer)
	if err := write(out); err != nil {
		return err
	}
	return out.Flush()
}

func noFile(path, option string) error {
	return engine.Errorf(engine.CodeInvalid, "%s cannot be written: name another file with %s", path, option)
}
