use super::*;

fn mount(source: &str, target: &str) -> Mount {
    Mount {
        source_pointer: "agent.mounts[0]".to_owned(),
        source: source.into(),
        target: target.into(),
        read_only: false,
    }
}

fn read_only(source: &str, target: &str) -> Mount {
    Mount { read_only: true, ..mount(source, target) }
}

fn guards(folders: &[&str]) -> Vec<Guard> {
    let guard = |folder: &&str| Guard { folder: normal(Utf8Path::new(folder)), why: "guard", what: "it" };
    folders.iter().map(guard).collect()
}

/// The pins of every mount, as `target < source`, with `(ro)` where it is read-only.
fn pins(mounts: &[Mount], folders: &[&str]) -> Vec<String> {
    let all = mounts.iter().flat_map(|mount| inside(mount, mounts, &guards(folders)));
    all.map(|pin| format!("{} < {}{}", pin.target, pin.source, if pin.read_only { " (ro)" } else { "" }))
        .collect()
}

#[test]
fn a_guard_is_pinned_with_every_folder_on_the_way_to_it() {
    assert_eq!(
        pins(&[mount(".", "/work")], &[".bottle", "./docker/agent"]),
        ["/work/.bottle < .bottle (ro)", "/work/docker < docker", "/work/docker/agent < docker/agent (ro)"]
    );
    assert_eq!(pins(&[mount(".", "/work")], &["ci/tree"]), ["/work/ci < ci", "/work/ci/tree < ci/tree (ro)"]);
    assert_eq!(pins(&[mount("./ci", "/ci")], &["ci/a/b"]), ["/ci/a < ci/a", "/ci/a/b < ci/a/b (ro)"]);
    assert_eq!(pins(&[read_only(".", "/work")], &["ci/tree"]), [""; 0]);
    assert_eq!(pins(&[mount("src", "/work")], &["ci/tree"]), [""; 0]);
}

#[test]
fn the_source_of_another_mount_is_pinned_with_that_mounts_access() {
    assert_eq!(pins(&[mount(".", "/work"), mount("./data", "/data")], &[]), ["/work/data < data"]);
    assert_eq!(
        pins(&[read_only("a/file", "/file"), mount(".", "/work")], &[]),
        ["/work/a < a", "/work/a/file < a/file (ro)"]
    );
    assert_eq!(
        pins(&[mount(".", "/work"), read_only("data", "/a"), mount("data", "/b")], &[]),
        ["/work/data < data"],
        "one of the two may write"
    );
    assert_eq!(pins(&[mount("/srv", "/srv"), mount("/srv/x", "/x")], &[]), ["/srv/x < /srv/x"]);
    assert_eq!(pins(&[mount("../s", "/s"), mount("../s/x", "/x")], &[]), ["/s/x < ../s/x"]);
}

#[test]
fn every_writable_mount_that_shows_a_place_gets_its_pin() {
    assert_eq!(
        pins(&[mount(".", "/work"), mount("a", "/a"), mount(".", "/again")], &["a/b/c"]),
        [
            "/work/a < a",
            "/work/a/b < a/b",
            "/work/a/b/c < a/b/c (ro)",
            "/a/b < a/b",
            "/a/b/c < a/b/c (ro)",
            "/again/a < a",
            "/again/a/b < a/b",
            "/again/a/b/c < a/b/c (ro)",
        ]
    );
}

/// A way that is the agent's to write must not be laid through what it may only read.
#[test]
fn a_pin_opens_nothing_inside_a_guard_or_a_read_only_mount() {
    assert_eq!(
        pins(&[mount(".", "/work"), read_only(".bottle/dev/x", "/x")], &[".bottle"]),
        ["/work/.bottle < .bottle (ro)"]
    );
    assert_eq!(
        pins(&[mount(".", "/work"), read_only("data", "/data"), mount("data/a/out", "/out")], &[]),
        ["/work/data < data (ro)", "/work/data/a < data/a (ro)", "/work/data/a/out < data/a/out"]
    );
}

/// A bind inside a mount of something else would make its mount point there, on the host.
#[test]
fn nothing_is_pinned_below_what_another_mount_hides() {
    let mounts = [mount(".", "/work"), mount("other", "/work/docker")];
    assert_eq!(pins(&mounts, &["docker/agent"]), ["/work/other < other"]);
    let mounts = [mount("docker", "/work/docker"), mount(".", "/work")];
    assert_eq!(
        pins(&mounts, &["docker/agent"]),
        ["/work/docker/agent < docker/agent (ro)"],
        "the mount inside the other has its own pins, once"
    );
    let mounts = [read_only("docker", "/work/docker"), mount(".", "/work"), mount("docker/x", "/x")];
    assert_eq!(pins(&mounts, &["docker/agent"]), [""; 0], "nothing in a read-only mount can be renamed");
}
