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

# The last thing that a log says, without what could move the cursor. A progress bar writes over itself.
last_line() {
  tail -c 400 "$1" 2>/dev/null | sed $'s/\e\\[[0-9;]*m//g' | tr '\r' '\n' | tr -cd '[:print:]\n' | sed 's/^ *//; /^$/d' |
    tail -n 1 | cut -c 1-60
}

# ticking NAME TEXT LOG: on a terminal the seconds of a step count in its line; elsewhere a line says every ten seconds
# (SAY_EVERY, in tests) what the log says. A trap waits for a program that runs in front, so sleep runs behind.
ticking() {
  local start=$SECONDS every=1
  if [ ! -t 1 ]; then every=${SAY_EVERY:-10}; fi
  trap 'kill $! 2>/dev/null; exit 0' TERM
  while sleep "$every" >/dev/null 2>&1 & wait $!; do
    if [ -t 1 ]; then
      printf '\r%s: %-10s %s … %d s ' "$PROGRAM" "$1" "$2" $((SECONDS - start))
    else
      printf '\n%s: %-10s %d s: %s … ' "$PROGRAM" "$1" $((SECONDS - start)) "$(last_line "$3")"
    fi
  done
}

# doing NAME TEXT COMMAND…: runs a long command with its output in a log; its last line ends with the seconds it took.
doing() {
  local name=$1 text=$2 log="$LOGS/$1.log" start=$SECONDS ticker status=0
  shift 2
  mkdir -p "$LOGS"
  : >"$log"
  printf '%s: %-10s %s … ' "$PROGRAM" "$name" "$text"
  ticking "$name" "$text" "$log" 9>&- &
  ticker=$!
  ("$@") >"$log" 2>&1 </dev/null || status=$?
  kill "$ticker" 2>/dev/null || true
  wait "$ticker" 2>/dev/null || true
  if [ -t 1 ]; then printf '\r%s: %-10s %s … ' "$PROGRAM" "$name" "$text"; fi
  if [ "$status" -ne 0 ]; then
    printf 'failed after %d s\n' $((SECONDS - start))
    tail -n 20 "$log" | sed 's/^/  | /' >&2
    die "$text failed with exit code $status" "the whole output is in $log"
  fi
  printf 'done in %d s\n' $((SECONDS - start))
}
