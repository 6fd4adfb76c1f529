# shellcheck shell=bash
# The images that tests run agents in. Each carries a label with the hash of its recipe, so that a changed recipe
# rebuilds it and an unchanged one costs a look.

IMAGES="$ROOT/target/test-images"

# Without root it still works where somebody has installed the two programs.
need_image_host() {
  can_install || { has apt-get && has mmdebstrap && has npm; } \
    || missing 'a Debian or Ubuntu host with mmdebstrap and npm' 'the images of the tests are made from its packages'
}

need_images() {
  need_base_image
  need_clients_image
  # What a newer recipe has replaced has no name any more; the label keeps this off other people's images.
  docker image prune --force --filter label=bottle.recipe >/dev/null
}

# recipe FILE…: the hash of what an image is made from.
recipe() { cat "$@" | sha256sum | cut -c 1-16; }

image_is() {
  [ "$(docker image inspect --format '{{index .Config.Labels "bottle.recipe"}}' "$1" 2>/dev/null)" = "$2" ]
}

need_base_image() {
  local tag=bottle-test-base:1 hash tar
  hash=$(recipe "$ROOT/tests/images/base/packages.txt" "$ROOT/tests/images/base/build" /etc/os-release)
  if ! image_is "$tag" "$hash"; then
    tar="$IMAGES/base-$hash.tar"
    mkdir -p "$IMAGES"
    if [ ! -f "$tar" ]; then
      rm -f "$IMAGES"/base-*.tar
      has mmdebstrap || apt_install images mmdebstrap
      apt_update_once
      doing base "making $tag from Debian packages" "$ROOT/tests/images/base/build" "$HOST_CODENAME" "$tar"
    fi
    doing base-image "importing $tag" docker import --change "LABEL bottle.recipe=$hash" \
      --change 'CMD ["/bin/bash"]' "$tar" "$tag"
  fi
  ok base "$tag"
}

need_clients_image() {
  local tag=bottle-test-claude:1 dir="$ROOT/tests/images/clients" hash
  hash=$(recipe "$dir/package.json" "$dir/package-lock.json" "$dir/Dockerfile" \
    "$ROOT/tests/images/base/packages.txt" "$ROOT/tests/images/base/build" /etc/os-release)
  if ! image_is "$tag" "$hash"; then
    has npm || apt_install npm npm
    doing clients 'fetching Claude Code and Node.js with npm' fetch_clients "$dir"
    doing claude "building $tag" build_image --quiet --label "bottle.recipe=$hash" \
      --tag "$tag" --file "$dir/Dockerfile" "$IMAGES/clients/context"
    rm -rf "$IMAGES/clients"
  fi
  ok claude "$tag, Claude Code $(sed -n 's/.*claude-code-linux-x64": "\(.*\)".*/\1/p' "$dir/package.json")"
}

# The packages' own install scripts are not run: what is wanted is one binary of each.
fetch_clients() {
  local work="$IMAGES/clients"
  rm -rf "$work"
  mkdir -p "$work/context"
  cp "$1/package.json" "$1/package-lock.json" "$work/"
  npm ci --prefix "$work" --ignore-scripts --no-audit --no-fund || return 1
  mv "$work"/node_modules/@anthropic-ai/claude-code-linux-*/claude "$work/context/claude" || return 1
  mv "$work"/node_modules/node-linux-*/bin/node "$work/context/node" || return 1
  rm -rf "$work/node_modules"
}

# A client that has BuildKit as its default and no buildx plugin refuses to build unless told to do it the old way.
build_image() {
  if docker buildx version >/dev/null 2>&1; then docker build "$@"; else DOCKER_BUILDKIT=0 docker build "$@"; fi
}
