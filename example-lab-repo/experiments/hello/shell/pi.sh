#!/usr/bin/env bash
# π = 4 − 4/3 + 4/5 − 4/7 …, with bash and awk: any language can take part in an experiment.
set -euo pipefail
events="${LAB_JOB_DIR:-.}/events.jsonl"
terms="${LAB_PARAM_TERMS:-200000}"

# One line of JSON is one event. Every tenth of the way: a metric, and how far we are in percent.
awk -v terms="$terms" -v now="$(date +%s)" 'BEGIN {
  for (n = 0; n < terms; n++) {
    sum += (n % 2 ? -4 : 4) / (2 * n + 1)
    if ((n + 1) % int(terms / 10) == 0) {
      printf "{\"t\":%d,\"e\":\"metric\",\"step\":%d,\"m\":{\"pi\":%.12f}}\n", now, n + 1, sum
      printf "{\"t\":%d,\"e\":\"progress\",\"v\":%.1f}\n", now, 100 * (n + 1) / terms
    }
  }
  error = sum - 3.141592653589793; if (error < 0) error = -error
  printf "{\"t\":%d,\"e\":\"finish\",\"score\":{\"error\":%.12f},\"m\":\"pi is about %.12f\"}\n", now, error, sum
}' >>"$events"

echo "$terms terms of the series; the last event says what came out:"
tail -n 1 "$events"
