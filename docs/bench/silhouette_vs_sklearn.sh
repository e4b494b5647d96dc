#!/usr/bin/env bash
# The exact mean silhouette of 10,000 x 5 numbers in 5 clusters: scikit-learn against engine/kselect, default and SIMD
# build, on the same rows. Needs Go and a Python with scikit-learn (Debian: python3-sklearn). Wall-clock seconds, the
# best of five runs each; memory is all that one call allocates.
set -euo pipefail
cd "$(dirname "$0")/../.."

python=${PYTHON:-python3}
"$python" -c 'import sklearn' 2>/dev/null || python=/usr/bin/python3
"$python" -c 'import sklearn' 2>/dev/null || { echo "scikit-learn is missing: install python3-sklearn" >&2; exit 1; }

theirs=$("$python" - <<'PY'
import time
import numpy
from sklearn.metrics import silhouette_score

n, d, k = 10_000, 5, 5
state, x = 12345, numpy.empty((n, d))
for i in range(n):
    for f in range(d):
        state = (state * 1103515245 + 12345) % 2**31
        x[i, f] = state / 2**31 * 2 + (i % k) * (1 if f % 2 == 0 else -0.5)
labels, best = numpy.arange(n) % k, float("inf")
for _ in range(5):
    start = time.perf_counter()
    value = silhouette_score(x, labels)
    best = min(best, time.perf_counter() - start)
print(best, value)
PY
)
read -r seconds value <<<"$theirs"
printf '%-14s %9.4f s  silhouette %.9f\n' scikit-learn "$seconds" "$value"

for build in default simd; do
  experiment=$([ "$build" = simd ] && echo simd || true)
  GOEXPERIMENT=$experiment go test -run '^$' -bench '^BenchmarkPlanted$' -benchtime 5x -count 5 ./engine/kselect |
    awk -v build="$build" -v theirs="$seconds" -v wanted="$([ "$build" = simd ] && echo 40 || echo 2)" '
      /^BenchmarkPlanted/ {
        for (i = 2; i < NF; i++) {
          if ($(i + 1) == "ns/op" && (!best || $i < best)) best = $i
          if ($(i + 1) == "silhouette") value = $i
          if ($(i + 1) == "B/op") memory = $i
        }
      }
      END { printf "%-14s %9.4f s  silhouette %s  %.1f MB (wanted: under 50), %.1f times as fast (wanted: %d)\n", build, best / 1e9, value, memory / 1e6, theirs / (best / 1e9), wanted }'
done
