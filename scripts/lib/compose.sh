# shellcheck shell=bash
# Compose as `docker compose`, of the oldest version that rendered stacks promise to run with or newer:
# the distribution's package where it is new enough, else built from its Go module (scripts/compose pins the version
# and the hash of every source).

COMPOSE_OLDEST=2.24

need_compose() {
  if ! has docker; then return 0; fi
  if ! compose_is_new && can_install; then
    local package
    if package=$(compose_package); then apt_install compose "$package"; else build_compose; fi
  elif ! compose_is_new && has go; then
    build_compose
  fi
  if ! compose_is_new; then
    missing "Docker Compose $COMPOSE_OLDEST or newer as \"docker compose\"" 'https://docs.docker.com/compose/install/, or package docker-compose-v2 or docker-compose-plugin; with Go installed, this script builds it'
    return 0
  fi
  ok compose "$(compose_version)"
}

compose_version() { docker compose version --short 2>/dev/null; }

compose_is_new() {
  local version
  version=$(compose_version) || return 1
  ! older "${version#v}" "$COMPOSE_OLDEST"
}

# The name of a package that brings a plugin that is new enough: docker-compose is one from Debian 13 on, and v1 before.
compose_package() {
  local package version
  apt_update_once >&2
  for package in docker-compose-v2 docker-compose-plugin docker-compose; do
    version=$(apt_candidate "$package")
    if [ -n "$version" ] && ! older "${version#*:}" "$COMPOSE_OLDEST"; then
      printf '%s' "$package"
      return 0
    fi
  done
  return 1
}

build_compose() {
  local version plugins="${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins"
  # As root for everybody: who runs the stack later need not be who set the machine up.
  if is_root; then plugins=/usr/local/lib/docker/cli-plugins; fi
  version=$(awk '$2 == "github.com/docker/compose/v5" {print $3}' "$ROOT/scripts/compose/go.mod")
  if ! has go && [ -x /usr/local/go/bin/go ]; then PATH="/usr/local/go/bin:$PATH"; fi
  # Older ones cannot fetch the Go version that the module asks for.
  if ! has go && can_install && ! older "$(apt_candidate golang-go | sed "s/^2://")" 1.21; then apt_install go golang-go; fi
  has go || return 0
  mkdir -p "$plugins"
  doing compose "building Compose $version with $(go version | awk '{print $3}')" \
    compile_compose "$version" "$plugins/docker-compose"
}

compile_compose() {
  cd "$ROOT/scripts/compose" || return 1
  CGO_ENABLED=0 GOFLAGS=-mod=readonly go build -trimpath \
    -ldflags "-s -w -X github.com/docker/compose/v5/internal.Version=$1" \
    -o "$2.new" github.com/docker/compose/v5/cmd || return 1
  mv "$2.new" "$2"
}
