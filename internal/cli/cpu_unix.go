//go:build linux || darwin

package cli

import (
	"syscall"
	"time"
)

// processorTime is what this process has used of the processors so far, in user and system mode; false if the system does not
// tell.
func processorTime() (time.Duration, bool) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, false
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), true
}
