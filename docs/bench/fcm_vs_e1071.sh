#!/usr/bin/env bash
# Fuzzy c-means on 200,000 generated rows: the C code behind R's e1071::cmeans against engine/fcm, default and SIMD build.
# Same rows, same starting centres, 20 iterations each, nothing accelerated. Needs Go and R with e1071 (Debian:
# r-base-core, r-cran-e1071).
#
# Timed are the processor seconds (user and system, all threads) of the fit alone. On R's side that is the one .C call
# that cmeans() makes to its C routine, without cmeans()'s own shuffling and labelling; on ours it is fcm.Fit, checks,
# transposed copy, labels and sizes included, the mean of five fits a turn since they are short. The three take turns, and
# medians are compared. e1071 weighs rows by 1/n; here both objectives are sums of u^m d^2 at the final centres, worked out
# in R from the centres alone.
set -euo pipefail
cd "$(dirname "$0")/../.."

command -v Rscript >/dev/null && Rscript -e 'library(e1071)' 2>/dev/null ||
  { echo "R with e1071 is missing: install r-base-core and r-cran-e1071" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
GOEXPERIMENT= go test -c -o "$work/default" ./engine/fcm
if [ "$(go env GOARCH)" = amd64 ]; then
  GOEXPERIMENT=simd go test -c -o "$work/simd" ./engine/fcm
fi

cat >"$work/compare.R" <<'R'
library(e1071)
work <- commandArgs(TRUE)[1]
n <- as.integer(commandArgs(TRUE)[2])
repetitions <- as.integer(commandArgs(TRUE)[3])
iterations <- 20L
builds <- Filter(function(b) file.exists(file.path(work, b)), c("default", "simd"))

objective <- function(x, centres, m) {
  shares <- 0
  for (j in seq_len(nrow(centres))) shares <- shares + rowSums(sweep(x, 2, centres[j, ])^2)^(1 / (1 - m))
  sum(shares^(1 - m)) # sum_j u_j^m d_j, with u_j put in
}
write_doubles <- function(values, name) writeBin(as.double(values), file.path(work, name), endian = "little")
read_doubles <- function(name) readBin(file.path(work, name), "double", 1e6, endian = "little")

theirs <- function(x, init, m) {
  arguments <- list(as.double(x), nrow(x), ncol(x), centers = as.double(init), nrow(init), rep(1 / nrow(x), nrow(x)), m, 0L,
    iterations, 1e-300, 0L, u = double(nrow(x) * nrow(init)), ermin = double(1), iter = integer(1))
  gc(FALSE)
  before <- proc.time()
  result <- do.call(.C, c(list(e1071:::R_cmeans), arguments))
  seconds <- sum((proc.time() - before)[c("user.self", "sys.self")])
  stopifnot(result$iter == iterations + 1L) # it counts one further when it runs to the end
  list(seconds = seconds, centres = matrix(result$centers, nrow(init)))
}

ours <- function(build, d, k) {
  lines <- system2(file.path(work, build), c("-test.run", "'^$'", "-test.bench", "'^BenchmarkPeer$'", "-test.benchtime", "5x"),
    stdout = TRUE, env = paste0("FCM_PEER=", work))
  fields <- strsplit(trimws(grep("^BenchmarkPeer", lines, value = TRUE)), "[[:space:]]+")[[1]]
  metric <- function(unit) as.numeric(fields[which(fields == unit) - 1])
  values <- read_doubles("centres")
  list(seconds = metric("cpu-s"), bytes = metric("B/op"), objective = values[1], centres = matrix(values[-1], k, d, byrow = TRUE))
}

for (shape in list(
  list(d = 5L, k = 5L, m = 2, wanted = c(default = 5, simd = 20)),
  list(d = 8L, k = 10L, m = 2, wanted = c(default = 4, simd = 15)),
  list(d = 5L, k = 5L, m = 1.5, wanted = c(default = 1, simd = 1))
)) {
  d <- shape$d
  k <- shape$k
  m <- shape$m
  set.seed(d)
  middles <- matrix(rnorm(k * d, sd = 1.5), k, d)
  x <- middles[rep_len(seq_len(k), n), ] + matrix(rnorm(n * d), n, d)
  init <- x[(2 * seq_len(k) - 1) * n %/% (2 * k) + 1, ]
  write_doubles(t(x), "rows")
  write_doubles(t(init), "init")
  writeLines(paste(n, d, k, iterations, m), file.path(work, "shape"))

  seconds <- matrix(NA, repetitions, 1 + length(builds), dimnames = list(NULL, c("e1071", builds)))
  last <- list()
  for (r in seq_len(repetitions)) {
    last$e1071 <- theirs(x, init, m)
    seconds[r, "e1071"] <- last$e1071$seconds
    for (b in builds) {
      last[[b]] <- ours(b, d, k)
      seconds[r, b] <- last[[b]]$seconds
    }
  }
  median_seconds <- apply(seconds, 2, median)
  reference <- objective(x, last$e1071$centres, m)
  cat(sprintf("n = %d, d = %d, k = %d, m = %g, %d iterations, medians of %d\n", n, d, k, m, iterations, repetitions))
  cat(sprintf("  %-8s %7.3f s of processor time, objective %.12g\n", "e1071", median_seconds["e1071"], reference))
  for (b in builds) {
    cat(sprintf("  %-8s %7.3f s, %.1f times as fast (wanted: %g), objective differs by %.1e (wanted: 1e-10), centres by %.1e of the spread\n",
      b, median_seconds[b], median_seconds["e1071"] / median_seconds[b], shape$wanted[b],
      max(abs(c(objective(x, last[[b]]$centres, m), last[[b]]$objective) / reference - 1)),
      max(abs(sweep(last[[b]]$centres - last$e1071$centres, 2, apply(x, 2, sd), "/")))))
    cat(sprintf("           memory of the fit %.1f MB beside the rows' own %.1f MB; together %.1f MB (wanted: %.1f)\n",
      last[[b]]$bytes / 1e6, 8 * n * d / 1e6, (last[[b]]$bytes + 8 * n * d) / 1e6, (16 * n * d) / 1e6 + 10))
  }
}
R
Rscript "$work/compare.R" "$work" "${ROWS:-200000}" "${REPETITIONS:-7}"
