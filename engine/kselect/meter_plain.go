//go:build !goexperiment.simd || !amd64

package kselect

// vectorMeter is nil: this build has no vector instructions.
func vectorMeter() (vectors func(m *meter, left, right *tile), width int) { return nil, 0 }
