# shellcheck shell=bash
# What this machine is, and how a missing program gets onto it.

HOST_ID=unknown HOST_LIKE='' HOST_CODENAME=''
if [ -r /etc/os-release ]; then
  HOST_ID=$(. /etc/os-release && printf '%s' "${ID:-unknown}")
  HOST_LIKE=$(. /etc/os-release && printf '%s' "${ID_LIKE:-}")
  # shellcheck disable=SC2034 # lib/images.sh reads it
  HOST_CODENAME=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
fi

MISSING=()

# older A B: true if version A is older than version B.
older() { [ "$1" != "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

has() { command -v "$1" >/dev/null 2>&1; }

# libFuzzer is C++.
has_cxx() { has c++ || has g++ || has clang++; }

is_root() { [ "$(id -u)" -eq 0 ]; }

# True where this script may install by itself: Debian and its family, as root.
can_install() {
  is_root && has apt-get || return 1
  case " $HOST_ID $HOST_LIKE " in *' debian '* | *' ubuntu '*) ;; *) return 1 ;; esac
}

# missing WHAT HOW: remembered, so that a person reads everything that lacks at once.
missing() { MISSING+=("$1: $2"); }

stop_if_missing() {
  [ ${#MISSING[@]} -eq 0 ] && return 0
  local why='install what is missing, then run this again'
  if ! can_install && has apt-get && ! is_root; then
    why="$why (as root, this script installs most of it by itself)"
  fi
  die "$why:" "${MISSING[@]}"
}

APT_FRESH=no
apt_refresh() {
  [ "$APT_FRESH" = yes ] && return 0
  # A source that cannot be reached must not stop packages that another one has.
  apt-get update || echo 'some package lists are old; going on with what there is'
}

# The newest version of a package that apt can install, or nothing.
apt_candidate() {
  apt-cache policy "$1" 2>/dev/null | awk '$1 == "Candidate:" && $2 != "(none)" {print $2}'
}

# apt_install NAME PACKAGE…
apt_install() {
  local name=$1
  shift
  apt_update_once
  doing "$name" "installing $*" \
    env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"
}

apt_update_once() {
  [ "$APT_FRESH" = yes ] && return 0
  doing packages 'reading the package lists' apt_refresh
  APT_FRESH=yes
}
