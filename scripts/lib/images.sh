# shellcheck shell=bash
# The images that tests run agents in. Each carries a label with the hash of its recipe, so that a changed recipe
# rebuilds it and an unchanged one costs a look.

IMAGES="$ROOT/target/test-images"

# Without root it still works where somebody has installed the two programs.
need_image_host() {
  can_install || { has apt-get && has mmdebstrap && has npm && has mvn; } \
    || missing 'a Debian or Ubuntu host with mmdebstrap, npm and maven' 'the images of the tests are made from its packages'
}

need_images() {
  need_base_image
  need_clients_image
  need_postgres_image
  need_foreign
  # What a newer recipe has replaced has no name any more; the label keeps this off other people's images.
  docker image prune --force --filter label=bottle.recipe >/dev/null
}

# recipe FILE…: the hash of what an image is made from.
recipe() { cat "$@" | sha256sum | cut -c 1-16; }

image_is() {
  [ "$(docker image inspect --format '{{index .Config.Labels "bottle.recipe"}}' "$1" 2>/dev/null)" = "$2" ]
}

need_base_image() { need_debian_image base; }

# A database for the test of what runs beside an agent.
need_postgres_image() { need_debian_image postgres; }

# need_debian_image NAME: bottle-test-NAME:1 from the packages of tests/images/NAME/packages.txt.
need_debian_image() {
  local name=$1 tag="bottle-test-$1:1" build="$ROOT/tests/images/base/build" packages hash tar
  packages="$ROOT/tests/images/$name/packages.txt"
  hash=$(recipe "$packages" "$build" /etc/os-release)
  if ! image_is "$tag" "$hash"; then
    tar="$IMAGES/$name-$hash.tar"
    mkdir -p "$IMAGES"
    if [ ! -f "$tar" ]; then
      rm -f "$IMAGES/$name"-*.tar
      has mmdebstrap || apt_install images mmdebstrap
      apt_update_once
      doing "$name" "making $tag from Debian packages" "$build" "$HOST_CODENAME" "$tar" "$packages"
    fi
    doing "$name-image" "importing $tag" docker import --change "LABEL bottle.recipe=$hash" \
      --change 'CMD ["/bin/bash"]' "$tar" "$tag"
  fi
  ok "$name" "$tag"
}

need_clients_image() {
  local tag=bottle-test-claude:1 dir="$ROOT/tests/images/clients" hash
  hash=$(recipe "$dir"/* "$ROOT/rust-toolchain.toml" \
    "$ROOT/tests/images/base/packages.txt" "$ROOT/tests/images/base/build" /etc/os-release)
  if ! image_is "$tag" "$hash"; then
    need_package_managers
    doing clients 'fetching Claude Code, Node.js, Rust and package managers' fetch_clients "$dir"
    doing claude "building $tag" build_image --quiet --label "bottle.recipe=$hash" \
      --tag "$tag" --file "$dir/Dockerfile" "$IMAGES/clients/context"
    rm -rf "$IMAGES/clients"
  fi
  ok claude "$tag, Claude Code $(sed -n 's/.*claude-code-linux-x64": "\(.*\)".*/\1/p' "$dir/package.json")"
}

need_package_managers() {
  has npm || apt_install npm npm
  has mvn || apt_install maven maven
  python3 -m pip --version >/dev/null 2>&1 || apt_install pip python3-pip
}

# The packages' own install scripts are not run: what is wanted is the files of each. Rust is the one that builds bottle.
fetch_clients() {
  local work="$IMAGES/clients" here="$1" tools
  tools="$work/context/clients"
  rm -rf "$work"
  mkdir -p "$tools/bin"
  cp "$here/package.json" "$here/package-lock.json" "$work/"
  npm ci --prefix "$work" --ignore-scripts --no-audit --no-fund || return 1
  mv "$work"/node_modules/@anthropic-ai/claude-code-linux-*/claude "$work/context/claude" || return 1
  mv "$work"/node_modules/node-linux-*/bin/node "$work/context/node" || return 1
  mv "$work"/node_modules/@deno/linux-*/deno "$work"/node_modules/@oven/bun-linux-*/bin/bun "$tools/bin/" || return 1
  mv "$work/node_modules" "$tools/" || return 1
  python3 -m pip install --quiet --no-deps --require-hashes --target "$work/python" \
    --requirement "$here/requirements.txt" || return 1
  mv "$work/python/bin/uv" "$tools/bin/" || return 1
  copy_rust "$tools/bin" "$work/context/rust" || return 1
  fetch_maven "$here" "$work" && tar --extract --gzip --directory "$tools" --file "$work"/apache-maven-*.tar.gz || return 1
  # As commands, beside the others.
  ln -s ../node_modules/npm/bin/npm-cli.js "$tools/bin/npm" && (cd "$tools/bin" && ln -s ../apache-maven-*/bin/mvn mvn)
}

# copy_rust CARGO RUST: the Rust that builds bottle, as far as a crate needs it; cargo apart, with the package managers.
copy_rust() {
  local sysroot host
  sysroot=$(cd "$ROOT" && rustc --print sysroot)
  host=$(cd "$ROOT" && rustc -vV | sed -n 's/^host: //p')
  mkdir -p "$2/bin" "$2/lib/rustlib"
  cp "$sysroot/bin/cargo" "$1/" && cp "$sysroot"/bin/{rustc,rustdoc} "$2/bin/" \
    && cp "$sysroot"/lib/*.so* "$2/lib/" && cp -r "$sysroot/lib/rustlib/$host" "$2/lib/rustlib/"
}

# By Maven itself, from the repository that it is set up with: Debian's is older than the release that needs its own
# setting for a proxy.
fetch_maven() {
  local version
  version=$(sed -n 's/.*apache-maven-\(.*\)-bin.*/\1/p' "$1/maven.sha256")
  (cd "$2" && mvn --batch-mode --quiet dependency:copy -DoutputDirectory=. \
    "-Dartifact=org.apache.maven:apache-maven:$version:tar.gz:bin" && sha256sum --check --quiet "$1/maven.sha256")
}

# A client that has BuildKit as its default and no buildx plugin refuses to build unless told to do it the old way.
build_image() {
  if docker buildx version >/dev/null 2>&1; then docker build "$@"; else DOCKER_BUILDKIT=0 docker build "$@"; fi
}
