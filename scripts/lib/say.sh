# shellcheck shell=bash
# What a person reads: one line a step, progress where they wait, and an error that says what to do.
# Needs LOGS (a folder for the output of long commands) and PROGRAM (the name to print).

# ok NAME TEXT: a step that had nothing to do, or is done.
ok() { printf '%s: %-10s %s\n' "$PROGRAM" "$1" "$2"; }

# die TEXT…: one error, a line an argument, exit 2 ("could not do it").
die() {
  printf '%s: error: %s\n' "$PROGRAM" "$1" >&2
  shift
  for line in "$@"; do printf '  %s\n' "$line" >&2; done
  exit 2
}

# doing NAME TEXT COMMAND…: runs a long command with its output in a log; the line ends with the seconds it took.
# On a terminal the seconds count while it runs.
doing() {
  local name=$1 text=$2 log="$LOGS/$1.log" start=$SECONDS ticker='' status=0
  shift 2
  printf '%s: %-10s %s … ' "$PROGRAM" "$name" "$text"
  if [ -t 1 ]; then
    (
      trap 'exit 0' TERM
      while sleep 1; do
        printf '\r%s: %-10s %s … %d s ' "$PROGRAM" "$name" "$text" $((SECONDS - start))
      done
    ) 9>&- &
    ticker=$!
  fi
  mkdir -p "$LOGS"
  ("$@") >"$log" 2>&1 </dev/null || status=$?
  if [ -n "$ticker" ]; then
    kill "$ticker" 2>/dev/null || true
    wait "$ticker" 2>/dev/null || true
    printf '\r%s: %-10s %s … ' "$PROGRAM" "$name" "$text"
  fi
  if [ "$status" -ne 0 ]; then
    printf 'failed after %d s\n' $((SECONDS - start))
    tail -n 20 "$log" | sed 's/^/  | /' >&2
    die "$text failed with exit code $status" "the whole output is in $log"
  fi
  printf 'done in %d s\n' $((SECONDS - start))
}
