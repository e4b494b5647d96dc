//go:build linux || darwin

package localpg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// postmaster is what a server writes about itself into postmaster.pid.
type postmaster struct {
	pid       int
	port      int
	socketDir string // empty until the socket is there
}

// parsePostmaster reads the lines of postmaster.pid: process, data folder,
// start time, port, socket folder and more that does not matter here. A server
// that has just begun to start has written the first ones only.
func parsePostmaster(content []byte) (postmaster, error) {
	lines := strings.Split(string(content), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 0 {
		return postmaster{}, fmt.Errorf("postmaster.pid does not begin with a process number: %q", lines[0])
	}
	pm := postmaster{pid: pid}
	if len(lines) > 4 {
		// An unreadable port is like a missing one: the server is still starting.
		pm.port, _ = strconv.Atoi(strings.TrimSpace(lines[3]))
		pm.socketDir = strings.TrimSpace(lines[4])
	}
	return pm, nil
}

// running returns the live server of a data folder, or false. A file left by
// a dead server, even if its number was given to another process since, does
// not count.
func running(l layout) (postmaster, bool) {
	content, err := os.ReadFile(l.postmaster())
	if err != nil {
		return postmaster{}, false
	}
	pm, err := parsePostmaster(content)
	if err != nil || !isPostmaster(pm.pid, l.data()) {
		return postmaster{}, false
	}
	return pm, true
}

// alive tells whether a process runs. A child that has ended is buried first:
// until then the system and Postgres itself would take it for living.
func alive(pid int) bool {
	if dead, err := syscall.Wait4(pid, nil, syscall.WNOHANG, nil); err == nil && dead == pid {
		return false
	}
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// isPostmaster tells whether a process is a Postgres working in dataDir.
func isPostmaster(pid int, dataDir string) bool {
	if !alive(pid) {
		return false
	}
	if runtime.GOOS != "linux" {
		ctx, cancel := context.WithTimeout(context.Background(), binaryTimeout)
		defer cancel()
		out, err := exec.CommandContext(ctx, "ps", "-o", "comm=", "-p", strconv.Itoa(pid)).Output()
		return err == nil && isPostgresName(strings.TrimSpace(string(out)))
	}
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	// Empty for a process that has ended and that nobody has buried.
	command, err := os.ReadFile(filepath.Join(proc, "cmdline"))
	if err != nil {
		return false
	}
	program, _, _ := bytes.Cut(command, []byte{0})
	if !isPostgresName(string(program)) {
		return false
	}
	cwd, err := os.Readlink(filepath.Join(proc, "cwd"))
	if err != nil {
		return true // not ours to see; its name has to do
	}
	resolved, err := filepath.EvalSymlinks(dataDir)
	return err == nil && cwd == resolved
}

func isPostgresName(program string) bool {
	name := filepath.Base(program)
	return name == "postgres" || name == "postmaster"
}
