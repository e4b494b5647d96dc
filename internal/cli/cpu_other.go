//go:build !linux && !darwin

package cli

import "time"

// processorTime is not known: this system is not asked.
func processorTime() (time.Duration, bool) { return 0, false }
