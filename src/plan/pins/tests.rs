use super::*;
use proptest::prelude::*;
use proptest::sample::select;

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

/// The runtime follows a link where a mount's target is, and on the way to it.
#[test]
fn the_way_to_a_target_in_another_mount_is_pinned_wherever_it_is_seen() {
    let deep = mount("/srv", "/work/a/b/c");
    assert_eq!(pins(&[mount(".", "/work"), deep.clone()], &[]), ["/work/a < a", "/work/a/b < a/b"]);
    assert_eq!(
        pins(&[read_only(".", "/work"), deep.clone(), mount("a", "/again")], &[]),
        ["/again/b < a/b", "/again/b/c < a/b/c"]
    );
    assert_eq!(
        pins(&[mount(".", "/work"), deep, mount("/var/x", "/work/a/b")], &[]),
        ["/work/a < a"],
        "in a mount that lies on the way it is that one's own"
    );
}

fn any_mount() -> impl Strategy<Value = Mount> {
    let source = select(&[".", "a", "./a/b", "a/b/c", "a/b/d", "b", "../x", "../x/y", "/s", "/s/a"][..]);
    let target = select(&["/w", "/w/a", "/w/a/b", "/w/b", "/v", "/v/b/c", "/x", "/y"][..]);
    (source, target, any::<bool>())
        .prop_map(|(source, target, read_only)| Mount { read_only, ..mount(source, target) })
}

/// The last of the mounts around a place: of nested ones the innermost counts.
fn innermost<'a>(mounts: &'a [MountPlan], place: &Utf8Path) -> &'a MountPlan {
    let around = mounts.iter().filter(|mount| place.starts_with(&mount.target));
    around.max_by_key(|mount| mount.target.components().count()).unwrap()
}

proptest! {
    /// Pins change nothing of what is seen, and leave no way to what is protected.
    #[test]
    fn pins_show_what_was_there_and_hold_every_way(
        mounts in proptest::collection::vec(any_mount(), 1..5),
        folders in proptest::collection::vec(select(&[".bottle", "a", "a/b", "a/b/c", "b/e", "../x/y"][..]), 0..3),
    ) {
        let guards = guards(&folders);
        let mut targets: Vec<_> = mounts.iter().map(|mount| &mount.target).collect();
        targets.sort();
        targets.dedup();
        prop_assume!(targets.len() == mounts.len());
        let refused = |mount: &Mount| guards.iter().any(|guard| below(&mount.source, &guard.folder).is_some());
        prop_assume!(!mounts.iter().any(|mount| !mount.read_only && refused(mount)));

        let plain = |mount: &Mount| MountPlan {
            source: normal(&mount.source), target: mount.target.clone(), read_only: mount.read_only, why: None,
        };
        let manifest: Vec<MountPlan> = mounts.iter().map(plain).collect();
        let mut all = manifest.clone();
        for mount in &mounts {
            for pin in inside(mount, &mounts, &guards) {
                prop_assert!(!all.iter().any(|known| known.target == pin.target), "twice: {pin:?}");
                let around = innermost(&all, &pin.target);
                prop_assert!(pin.read_only || !around.read_only || mounts.iter().any(|it| normal(&it.source) == pin.source),
                    "opened: {pin:?}");
                let shows = innermost(&manifest, &pin.target);
                let rest = pin.target.strip_prefix(&shows.target).unwrap();
                prop_assert_eq!(normal(&shows.source.join(rest)), pin.source.clone(), "{:?}", pin);
                all.push(pin);
            }
        }
        for mount in mounts.iter().filter(|mount| !mount.read_only) {
            let points: Vec<_> = mount_points(&mounts).collect();
            let places = guards.iter().map(|guard| &guard.folder).chain(mounts.iter().map(|other| &other.source));
            for rest in places.chain(&points).filter_map(|place| strictly_below(place, mount)) {
                let seen_at = mount.target.join(&rest);
                if innermost(&manifest, &seen_at).target != mount.target {
                    continue; // another mount of the manifest lies over it
                }
                let is_guarded = ways(&rest).any(|way| guards.iter().any(|it| it.folder == normal(&mount.source.join(way))));
                prop_assert!(!is_guarded || innermost(&all, &seen_at.join("x")).read_only, "{seen_at} is open");
                for way in ways(&rest) {
                    let at = mount.target.join(way);
                    let held = all.iter().any(|it| it.target == at) || innermost(&all, &at).read_only;
                    prop_assert!(held, "{at} can be renamed");
                }
            }
        }
    }
}
