#!/bin/bash
# accuracy.sh TARGET: makes the targets of make that measure the accuracy of probes, and what they cost; "accuracy" is all
# of it, and writes docs/accuracy.md. It takes root, and a machine that does nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/bin
trial=$bin/netpol-latency-trial

# The engine against a filter's commits: modes, directions, delays, numbers of pairs.
engine() { "$bin/netpol-latency-accuracy" "$@"; }

# Both clients against the lab's truth log.
clients() { "$bin/netpol-latency-lab" run -- "$trial" --runs 10 --delay 0s,300ms --limit 15ms; }

# How long the lab's engine takes beside a client that probes, and beside the same one halted.
observer() {
  local failed=0 pairs mode raw
  for pairs in 200 1000; do for mode in http connect syn; do
    raw=()
    [ $mode != syn ] || raw=(--manifest-arg=--net-raw)
    echo "== $pairs pairs, $mode"
    "$bin/netpol-latency-lab" run -- "$trial" --observer --scenario policy-creation --delay 0s --targets $pairs \
      --runs 50 --client-arg=-probe=$mode "${raw[@]}" || failed=1
  done; done
  return $failed
}

# What a probe costs beside other ways to probe.
cost() { "$bin/netpol-latency-bench"; }

# measure runs a part for the page, shows what it prints, and passes on what the page has of it. A part that misses its
# goals does not keep the others from being measured.
missed=$(mktemp)
trap 'rm -f "$missed"' EXIT
measure() {
  local filter=$1
  shift
  echo "== $*" >&2
  { "$@" || echo "$1" >>"$missed"; } | tee /dev/stderr | awk "$filter"
}

block() {
  printf '\n<!-- not run: make accuracy measures it for an hour, and writes this page -->\n```text\n'
  cat
  printf '```\n'
}

# The programs of awk stand in single quotes.
# shellcheck disable=SC2016
page() {
  # Late changes are shown of few pairs only. But for the last lines, the columns of counts are left out.
  local engine='$2 != "udp" && ($4 != "1s" || $1 == 20) { print /contain|presumed to/ ? $0 : substr($0, 1, 37) substr($0, 63) }'
  local clients='
    / targets, / { client = $1; sub(",", "", client); delay = $NF }
    /error of the reported instant/ { error = sprintf("%9s %9s %9s %9s", $(NF-4), $(NF-2), $(NF-1), $NF) }
    /brackets contain/ { printf "%-16s %-8s %-18s %s\n", client, delay, $1 " of " $3, error }'
  local observer='
    /^== / { pairs = $2; mode = $4 }
    /^the client made/ { printf "%6s  %-8s %8s %10s %%", pairs, mode, $4, $7 }
    /^to .*: p50/ { printf "  %8s %8s %6s", $7, $9, $NF }
    /^to blocked: p50/ { print "" }'
  local cost='/^$/ { ended = 1 } NR > 2 && !ended { print substr($0, 1, 60) }'

  cat <<'END'
# Accuracy and cost

`make accuracy` measures all of this and writes the page; `make accuracy-engine`, `accuracy-clients`, `observer` and
`bench` print a part each. The figures are of a virtual machine with two processors, which run the control plane, the
router and the targets too. [method.md](method.md) defines the words.

## The engine against a filter

A router's filter allows and denies targets at known instants, 0 to 100 ms or 1 s after the trigger (`delay`). The error
(`err`) is the distance from the middle of the bracket to the end of the nftables commit, `presumed` is how long after
the commit half of the pairs were presumed to be blocked. Many pairs share the rate budget, which makes brackets wide,
whenever the change comes; with few, after a second, the relative step of one percent does. `udp` is as `connect`.
END
  measure "$engine" engine --pairs 20,1000,10000 | block
  cat <<'END'

## The clients against the truth log

Ten runs of each client with 20 targets in the lab. The error is that of the reported instant, the upper end of the
bracket.
END
  { printf '%-16s %-8s %-18s %9s %9s %9s %9s\n' client delay "brackets hold" p50 p95 p99 max
    measure "$clients" clients; } | block
  cat <<'END'

## What probing does to what it measures

How long the lab's engine takes for changes of a pod beside a client that probes at its full rate, and beside the same
client halted: the medians of 50 turns, and their ratio, whose goal is 1.10. It differs by about 0.03 from run to run;
`connect` with 200 pairs kept to the goal in eight runs of eleven.
END
  { printf '%6s  %-8s %8s %12s  %8s %8s %6s  %8s %8s %6s\n' pairs mode probes/s processor allowed: probing ratio \
      blocked: probing ratio
    measure "$observer" observer; } | block
  cat <<'END'

## What a probe costs

Processor time of the process and its children, with the kernel's share; an answered probe includes the work of the
router and the target. `floor` sends ready frames. The bench fails if `syn` costs more than 1.8 times the floor, or an
allocation.
END
  { printf '%-14s%11s%11s%12s%12s\n' "us a probe" dropped answered "of curl's" answered
    measure "$cost" cost; } | block
}

case "${1-}" in
accuracy-engine) engine && engine --pairs 20 --relative-resolution 0.005 ;;
accuracy-clients) clients ;;
loss) engine --pairs 200,1000 --mode connect,syn --loss 0.01 --confirm 5 --tolerate-losses 4 ;;
observer) observer ;;
bench) cost ;;
accuracy)
  page >bin/accuracy.md
  mv bin/accuracy.md docs/accuracy.md
  [ ! -s "$missed" ] || { echo "accuracy.sh: goals were missed by: $(xargs <"$missed")" >&2 && exit 1; }
  ;;
*) echo "accuracy.sh: there is no target $1" >&2 && exit 1 ;;
esac
