//go:build !(goexperiment.simd && amd64)

package fcm

// bestKernel is the plain loop wherever the compiler has no vector instructions to offer.
func bestKernel() kernel { return plainKernel }
