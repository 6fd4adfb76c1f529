# shellcheck shell=bash
# Four projects that nobody here wrote, each with a mirror of all that its install, build and tests fetch. What is
# fetched is pinned in tests/foreign; nothing of it is committed.

need_foreign() {
  local out="$IMAGES/foreign" hash
  hash=$(find "$ROOT/tests/foreign" "$ROOT/tests/images/clients/maven.sha256" -type f | sort | xargs cat | recipe /dev/stdin)
  if [ "$(cat "$out/recipe" 2>/dev/null)" != "$hash" ]; then
    need_package_managers
    # A JDK, to find out what its tests are run with.
    has javac || apt_install jdk default-jdk-headless
    doing foreign 'fetching four projects and what they depend on' fetch_foreign "$out"
    echo "$hash" >"$out/recipe"
  fi
  ok foreign "$(sed -n 's/^[a-z]* \([^ ]*\) \([^ ]*\) .*/\1 \2/p' "$ROOT/tests/foreign/archives.txt" | paste -sd, | sed 's/,/, /g')"
}

# All at once: they wait for the network most of the time. Maven is the agent's own, whose plugins are asked for.
fetch_foreign() {
  local out=$1 kind jobs=() job failed=0
  rm -rf "$out" && mkdir -p "$out/maven" || return 1
  docker run --rm bottle-test-claude:1 sh -c 'tar -c -C /opt/clients/apache-maven-* .' | tar -x -C "$out/maven" || return 1
  for kind in node python rust java; do
    "$ROOT/tests/foreign/fetch" "$kind" "$out/$kind" "$out/maven" &
    jobs+=($!)
  done
  for job in "${jobs[@]}"; do wait "$job" || failed=1; done
  rm -rf "$out/maven"
  return "$failed"
}
