# shellcheck shell=bash
# A Docker Engine that answers. Where no init runs services (a container, a microVM) this starts dockerd itself.

ENGINE_OLDEST=20.10
DOCKERD_LOG=/var/log/bottle-dockerd.log
DOCKERD_STARTED=no

need_docker() {
  local engine
  if ! engine=$(engine_version); then
    install_engine || return 0
    start_engine
    engine=$(engine_version) || die 'the Docker daemon does not answer' "$(docker version 2>&1 | tail -n 1)"
  fi
  if older "$engine" "$ENGINE_OLDEST"; then
    missing "Docker Engine $ENGINE_OLDEST or newer" "$engine is running"
    return 0
  fi
  ok docker "engine $engine, client $(docker version --format '{{.Client.Version}}')"
}

engine_version() {
  has docker && docker version --format '{{.Server.Version}}' 2>/dev/null
}

# False, and remembered as missing, when there is no engine to start.
install_engine() {
  if [ -n "${DOCKER_HOST:-}" ]; then
    missing 'a Docker Engine' "DOCKER_HOST is $DOCKER_HOST and nothing answers there"
    return 1
  fi
  if has docker && ( has dockerd || [ -S /var/run/docker.sock ] ) && ! is_root; then
    missing 'a Docker Engine' "$(docker version 2>&1 >/dev/null | tail -n 1); start it, or join the group docker"
    return 1
  fi
  if ! has dockerd && can_install; then
    local packages=(docker.io)
    apt_update_once
    # From Debian 13 on the client is a package of its own.
    if ! has docker && [ -n "$(apt_candidate docker-cli)" ]; then packages+=(docker-cli); fi
    apt_install docker "${packages[@]}"
  fi
  if ! has dockerd || ! has docker; then
    missing 'a Docker Engine' 'https://docs.docker.com/engine/install/, or your distribution'\''s package (docker.io, docker, moby-engine)'
    return 1
  fi
}

start_engine() {
  # A package's service may be coming up already.
  if [ -d /run/systemd/system ]; then
    doing dockerd 'starting the service' systemctl start docker
    return
  fi
  drop_stale_pid /var/run/docker.pid dockerd
  # dockerd would take any living process of that number for its containerd and wait for it in vain.
  drop_stale_pid /var/run/docker/containerd/containerd.pid containerd
  doing dockerd "starting dockerd in the background, log in $DOCKERD_LOG" start_dockerd
  DOCKERD_STARTED=yes
}

# A daemon that was ended hard leaves its pid file, and another process may have that number by now.
# A zombie has no exe link, so a daemon that its parent has not reaped counts as gone.
drop_stale_pid() {
  local file=$1 program=$2 pid
  [ -f "$file" ] || return 0
  pid=$(cat "$file")
  case $(readlink "/proc/$pid/exe") in
    */"$program" | */"$program (deleted)") ;;
    *) rm -f "$file" ;;
  esac
}

start_dockerd() {
  local pid='' tries
  # One that lives but has no socket yet is waited for, not doubled.
  if [ ! -f /var/run/docker.pid ]; then
    # fd 9 is this script's lock; a daemon that inherits it would hold it for ever.
    setsid dockerd >>"$DOCKERD_LOG" 2>&1 </dev/null 9>&- &
    pid=$!
  fi
  # Containers that outlived a killed daemon are stopped first, each with its grace time.
  for tries in $(seq 900); do
    engine_version >/dev/null && return 0
    if [ -n "$pid" ] && ! kill -0 "$pid" 2>/dev/null; then
      echo "dockerd ended; the end of $DOCKERD_LOG:"
      tail -n 15 "$DOCKERD_LOG"
      return 1
    fi
    sleep 0.1
  done
  echo "dockerd did not answer within $((tries / 10)) s; the end of $DOCKERD_LOG:"
  tail -n 15 "$DOCKERD_LOG"
  return 1
}

# Containers with a restart policy come back with the daemon. Those of tests that were ended hard are in nobody's use
# right after this script started the daemon, so they go; projects of other names are the user's.
drop_revived_tests() {
  [ "$DOCKERD_STARTED" = yes ] || return 0
  local project ids
  for project in $(docker ps --all --format '{{.Label "com.docker.compose.project"}}' | sort -u); do
    case $project in bottle-test-*) ;; *) continue ;; esac
    ids=$(docker ps --all --quiet --filter "label=com.docker.compose.project=$project")
    # shellcheck disable=SC2086 # one id a word
    docker rm --force --volumes $ids >/dev/null
    ok leftover "removed the containers of $project"
  done
}
