//go:build goexperiment.simd && amd64

package kselect

// exactTolerance is how far an exact silhouette may be from the definition where distances are of float32.
const exactTolerance = 1e-6
