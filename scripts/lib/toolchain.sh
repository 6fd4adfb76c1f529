# shellcheck shell=bash
# Rust of the version in rust-toolchain.toml, and the C compiler that aws-lc-sys and a static binary need
# (no cmake, no clang, no Go: tried with none of them on the PATH).

need_toolchain() {
  need_rust
  need_cc
}

need_rust() {
  local want have
  want=$(sed -n 's/^channel *= *"\(.*\)"/\1/p' "$ROOT/rust-toolchain.toml")
  if ! has cargo && [ -x "$HOME/.cargo/bin/cargo" ]; then PATH="$HOME/.cargo/bin:$PATH"; fi
  if ! has cargo; then
    missing "Rust $want" 'install rustup (https://rustup.rs, or your distribution'\''s package "rustup")'
    return
  fi
  if has rustup && ! rustup toolchain list | grep -q "^$want-"; then
    doing rust "installing toolchain $want" rustup toolchain install "$want" --profile minimal -c rustfmt -c clippy
  fi
  have=$(cd "$ROOT" && rustc --version | awk '{print $2}')
  if [ "$have" != "$want" ] && ! older "$want" "$have"; then
    missing "Rust $want" "found $have without rustup; install rustup or a newer Rust"
    return
  fi
  ok rust "$have"
}

need_cc() {
  if ! has_cc && can_install; then apt_install cc gcc libc6-dev; fi
  if ! has_cc; then
    missing 'a C compiler with a static libc' 'packages gcc and libc6-dev (Debian), gcc and glibc-static (Fedora)'
    return
  fi
  ok cc "$(cc --version | head -n 1)"
}

# On Linux the binary is linked statically, so libc.a must be there: cc prints a bare name when it is not.
has_cc() {
  has cc || return 1
  [ "$(uname -s)" != Linux ] || case $(cc -print-file-name=libc.a) in /*) ;; *) return 1 ;; esac
}
