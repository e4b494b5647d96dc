//go:build linux || darwin

package localpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// pollEvery is how often locks, processes and the socket are looked at. It is
// short against the 0.1 s that Postgres takes to start.
const pollEvery = 20 * time.Millisecond

// fileLock is an advisory lock that the system lets go of when the process
// ends, however it ends. Two locks of one process exclude each other too.
type fileLock struct{ file *os.File }

func openLock(path string, who account) (*fileLock, error) {
	f, err := openFile(path, os.O_RDWR|os.O_CREATE, who)
	if err != nil {
		return nil, fmt.Errorf("opening the lock of the private Postgres: %w", err)
	}
	return &fileLock{f}, nil
}

// openFile opens a private file for the account. It follows no symbolic link:
// the folder belongs to the account, and root must not be led elsewhere.
func openFile(path string, flag int, who account) (*os.File, error) {
	f, err := os.OpenFile(path, flag|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if who.switched {
		if err := f.Chown(who.uid, who.gid); err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}

// try takes the lock in the given mode (syscall.LOCK_SH or LOCK_EX) unless
// somebody else's stands against it.
func (l *fileLock) try(mode int) (bool, error) {
	for {
		err := syscall.Flock(int(l.file.Fd()), mode|syscall.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		case errors.Is(err, syscall.EINTR):
			continue
		default:
			return false, fmt.Errorf("locking %s: %w", l.file.Name(), err)
		}
	}
}

// take waits for the lock; waiting is called once if that takes time.
func (l *fileLock) take(ctx context.Context, mode int, waiting func()) error {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for first := true; ; first = false {
		ok, err := l.try(mode)
		if ok || err != nil {
			return err
		}
		if first {
			waiting()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", l.file.Name(), ctx.Err())
		case <-ticker.C:
		}
	}
}

// release gives the lock back. Closing the file alone would not do it at once: a process that is being started at this
// moment shares the open file until it runs its own program.
func (l *fileLock) release() {
	_ = syscall.Flock(int(l.file.Fd()), syscall.LOCK_UN)
	l.file.Close()
}
