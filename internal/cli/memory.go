package cli

import (
	"bytes"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// servingGC is GOGC of a serving process, whose answers live for milliseconds: collecting at twice the live heap, Go's default,
// cost a fifth of the processor time of a busy server whose live heap is small.
const servingGC = 400

// tuneMemory lets a serving process collect garbage less often than Go's default, and within half of the memory that the
// process may have, where that is known. GOGC and GOMEMLIMIT in the environment win.
func tuneMemory(env map[string]string) {
	if env["GOGC"] == "" {
		debug.SetGCPercent(servingGC)
	}
	if limit := availableMemory(); limit > 0 && env["GOMEMLIMIT"] == "" {
		debug.SetMemoryLimit(limit / 2)
	}
}

// importMemory bounds, in bytes, what an import takes, whatever the length of the file: garbage is collected more often near it. What
// lives is less, two runs of the sorters above all, so it costs next to nothing.
const importMemory = 140 << 20

// boundMemory keeps a command that reads files within so many bytes. GOMEMLIMIT in the environment wins.
func boundMemory(env map[string]string, bytes int64) {
	if env["GOMEMLIMIT"] == "" {
		debug.SetMemoryLimit(bytes)
	}
}

// availableMemory is what the container's control group allows, else what Linux says the machine has, in bytes; 0 where
// neither is known.
func availableMemory() int64 {
	if text, err := os.ReadFile("/sys/fs/cgroup/memory.max"); err == nil {
		if limit, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64); err == nil {
			return limit
		}
	}
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == "MemTotal:" {
			kilobytes, _ := strconv.ParseInt(fields[1], 10, 64)
			return kilobytes << 10
		}
	}
	return 0
}
