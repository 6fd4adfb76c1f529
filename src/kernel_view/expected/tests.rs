use super::*;
use crate::kernel_view::Device;

const ID: &str = "69cf2f43f8eb69b964e205b9796974a6b482d15d341a7d6c8c535b77c24da629";
const DOCKER_20: &str = include_str!("../fixtures/docker-20.10-cgroup-1.txt");
const HOST_20: &str = include_str!("../fixtures/host-20.10.txt");
const DOCKER_28: &str = include_str!("../fixtures/docker-28-cgroup-2.txt");
const HOST_28: &str = include_str!("../fixtures/host-28.txt");

fn table(text: &str) -> MountTable {
    MountTable::parse(text.as_bytes()).unwrap()
}

fn bind(source: &str, target: &str, read_only: bool) -> Bind {
    let device = Device { major: 254, minor: 0 };
    let source = Source { path: source.into(), device, root: source.into(), object: (1, 1) };
    Bind { target: target.into(), source, read_only }
}

/// What the container of the fixture was made with: a tmpfs, two volumes, the project with pins, `tty`, `init`, the
/// network of another container.
fn expected() -> Expected {
    let volume =
        |name: &str, target: &str, read_only| Volume { target: target.into(), name: name.into(), read_only };
    Expected {
        binds: vec![
            bind("/home/me/app", "/work", false),
            bind("/home/me/app/docker", "/work/docker", false),
            bind("/home/me/app/docker/agent", "/work/docker/agent", true),
            bind("/home/me/app/with space", "/space", false),
        ],
        anywhere: Vec::new(),
        volumes: vec![volume("bhx_sock", "/run/sock", true), volume("bhx_data", "/data", false)],
        tmpfs: vec!["/t".into()],
    }
}

fn said_of(container: &str, expected: &Expected) -> Vec<String> {
    let found = mismatches(&table(container), &table(HOST_20), expected, ID);
    found.iter().map(ToString::to_string).collect()
}

/// The table of the fixture with one line changed.
#[track_caller]
fn with(from: &str, to: &str) -> String {
    let changed = DOCKER_20.replace(from, to);
    assert_ne!(changed, DOCKER_20, "{from}");
    changed
}

#[test]
fn what_docker_20_10_shows_with_cgroup_v1_fits() {
    assert_eq!(said_of(DOCKER_20, &expected()), [""; 0]);
}

#[test]
fn what_docker_28_shows_with_cgroup_v2_on_btrfs_fits() {
    let device = Device { major: 0, minor: 45 };
    let source = Source { path: "/home/me/app".into(), device, root: "/@home/me/app".into(), object: (1, 1) };
    let binds = vec![Bind { target: "/work".into(), source, read_only: false }];
    let expected = Expected { binds, ..Expected::default() };
    let id = "c4053bf5dbe5e50133ea00384ae176b754ffaef4898eaa82959ac6d70fb3caf4";
    assert_eq!(mismatches(&table(DOCKER_28), &table(HOST_28), &expected, id), []);
}

#[test]
fn a_source_that_was_swapped_removed_or_opened_is_said() {
    let advice =
        "it was replaced or moved on this machine; remove the container, look at the folder, start again";
    assert_eq!(
        said_of(&with("/home/me/app/docker /work/docker", "/etc /work/docker"), &expected()),
        [format!("/work/docker is 254:0 /etc (ext4), where /home/me/app/docker must be: {advice}")]
    );
    assert_eq!(
        said_of(&with("254:0 /home/me/app /work", "254:1 /home/me/app /work"), &expected()),
        [format!("/work is 254:1 /home/me/app (ext4), where /home/me/app must be: {advice}")],
        "the same path of another file system"
    );
    assert_eq!(
        said_of(&with("/with\\040space /space", "/with\\040space//deleted /space"), &expected()),
        [
            "/home/me/app/with space, mounted at /space, was removed on this machine; remove the container, start again"
        ]
    );
    assert_eq!(
        said_of(&with("/work/docker/agent ro", "/work/docker/agent rw"), &expected()),
        ["/work/docker/agent is writable, and must be read-only; remove the container, start again"]
    );
    assert_eq!(
        said_of(&with("/space rw", "/space ro"), &expected()),
        ["/space is read-only, and must be writable; remove the container, start again"]
    );
    let dropped: String = DOCKER_20
        .lines()
        .filter(|line| !line.contains(" /work/docker/agent "))
        .flat_map(|line| [line, "\n"])
        .collect();
    assert_eq!(
        said_of(&dropped, &expected()),
        [
            "nothing is mounted at /work/docker/agent, where /home/me/app/docker/agent must be: the kernel dropped the \
          mount since its folder was moved or removed, or the image has a link on the way; remove the container, \
          look at both"
        ]
    );
    assert_eq!(
        Mismatch::other_object(&expected().binds[0]).to_string(),
        format!("/work is another file or folder than /home/me/app was: {advice}")
    );
}

#[test]
fn a_mount_over_an_expected_one_counts_instead_of_it() {
    let over = format!("{DOCKER_20}900 134 254:0 /etc /work rw - ext4 /dev/vda rw\n");
    let said = said_of(&over, &expected());
    assert!(said[0].starts_with("/work is 254:0 /etc (ext4), where /home/me/app must be"), "{said:?}");
    assert!(said.iter().any(|line| line.starts_with("nothing is mounted at /work/docker,")), "{said:?}");
    assert!(
        said.iter().any(|line| line.starts_with("254:0 /home/me/app (ext4) is mounted at /work, ")),
        "{said:?}"
    );
}

/// Each line could be a bind that somebody slipped in, at a place that Docker itself uses too.
#[test]
fn whatever_nobody_asked_for_is_a_mismatch() {
    for line in [
        "117 254:0 / /host rw - ext4 /dev/vda rw",
        "117 254:0 /run/docker.sock /run/docker.sock rw - ext4 /dev/vda rw",
        "117 254:0 / / rw - ext4 /dev/vda rw",
        "118 0:21 / /proc rw - proc proc rw",
        "118 0:21 /sys /proc/sys ro - proc proc rw",
        "118 0:56 /sys /proc/sysctl rw - proc proc rw",
        "118 0:23 / /proc/scsi ro - tmpfs tmpfs rw",
        "118 254:0 /null /proc/kcore rw - ext4 /dev/vda rw",
        "121 0:22 / /sys ro - sysfs sysfs rw",
        "121 0:47 / /sys rw - sysfs sysfs rw",
        "121 0:29 / /sys/fs/cgroup/x rw - cgroup cgroup rw",
        "121 0:23 / /sys/firmware ro - tmpfs tmpfs rw",
        "121 0:99 / /sys/kernel rw - tmpfs tmpfs rw",
        "119 0:6 / /dev rw - devtmpfs devtmpfs rw",
        "119 0:6 /vda /dev/vda rw - devtmpfs devtmpfs rw",
        "119 0:6 /vda /dev/null rw - devtmpfs devtmpfs rw",
        "119 0:23 / /dev/shm rw - tmpfs tmpfs rw",
        "119 0:24 / /dev/pts rw - devpts devpts rw",
        "119 0:24 /0 /dev/console rw - devpts devpts rw",
        "117 254:0 /etc/shadow /etc/hosts rw - ext4 /dev/vda rw",
        "117 254:0 /etc/hosts /etc/hosts rw - ext4 /dev/vda rw",
        "117 254:0 /bin/sh /usr/sbin/docker-init ro - ext4 /dev/vda rw",
        "117 0:99 / /t2 rw - tmpfs tmpfs rw",
        "117 254:0 /var/lib/docker/volumes/other/_data /other rw - ext4 /dev/vda rw",
        "134 254:0 /home/me/secret /work/secret rw - ext4 /dev/vda rw",
    ] {
        let said = said_of(&format!("{DOCKER_20}900 {line}\n"), &expected());
        assert!(!said.is_empty(), "{line}");
    }
    let said = said_of(
        &format!("{DOCKER_20}900 117 254:0 /a\\012b\\033 /host rw - ext4 /dev/vda rw\n"),
        &expected(),
    );
    assert_eq!(
        said,
        [
            "254:0 /a\\nb\\u{1b} (ext4) is mounted at /host, which neither the manifest nor Docker asks for; remove the \
          container, and find out who made it"
        ]
    );
}

#[test]
fn volumes_and_tmpfs_are_told_from_binds() {
    for (from, to) in [
        ("/volumes/bhx_data/_data /data", "/volumes/other/_data /data"),
        ("/var/lib/docker/volumes/bhx_data/_data /data", "/home/me/app /data"),
        ("0:54 / /run/sock", "0:23 / /run/sock"),
        ("0:54 / /run/sock", "0:54 /x /run/sock"),
        ("0:42 / /t rw", "0:23 / /t rw"),
        ("0:42 / /t rw", "254:0 /etc /t rw"),
    ] {
        let said = said_of(&with(from, to), &expected());
        assert!(said.len() == 1 && said[0].contains(" must be: "), "{from}: {said:?}");
    }
}

/// A mount inside a source is bound with it; by an old engine writable, also in a read-only bind.
#[test]
fn what_this_machine_has_mounted_inside_a_source_comes_along() {
    let host = table(&format!("{HOST_20}90 27 8:9 / /home/me/app/nas rw - ext4 /dev/n rw\n"));
    let mut expected = expected();
    let said = |line: &str, expected: &Expected| {
        let container = table(&format!("{DOCKER_20}900 134 {line}\n"));
        let found = mismatches(&container, &host, expected, ID);
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(said("8:9 / /work/nas rw - ext4 /dev/n rw", &expected), [""; 0]);
    assert_eq!(said("8:9 /x /work/nas rw - ext4 /dev/n rw", &expected).len(), 1, "another part of it");
    assert_eq!(said("8:9 / /work/other rw - ext4 /dev/n rw", &expected).len(), 1, "at another place");
    expected.binds[0].read_only = true;
    let said = said("8:9 / /work/nas rw - ext4 /dev/n rw", &expected);
    assert!(said.contains(
        &"/work/nas is writable, and must be read-only; remove the container, start again".to_owned()
    ));
}

#[test]
fn shared_memory_that_the_engine_mounts_on_the_host_is_dockers() {
    let container = with("0:60 / /dev/shm", "0:41 / /dev/shm");
    let shm = |id: &str| {
        let line = format!("80 42 0:41 / /var/lib/docker/containers/{id}/mounts/shm rw - tmpfs shm rw\n");
        let host = table(&format!("{HOST_20}{line}"));
        mismatches(
            &table(&container.replace("0:41 / /dev/mqueue", "0:98 / /dev/mqueue")),
            &host,
            &expected(),
            ID,
        )
    };
    assert_eq!(shm(ID), []);
    assert_eq!(shm(&ID.replace('6', "7")).len(), 1, "of another container");
}

/// A bundle at two of an image's places, the second a link to the first.
fn with_bundles(lines: &[&str]) -> Vec<String> {
    let anywhere = ["/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem"]
        .map(|target| bind("/s/trust/ca-bundle.pem", target, true));
    let expected = Expected { anywhere: anywhere.into(), ..expected() };
    said_of(&format!("{DOCKER_20}{}\n", lines.join("\n")), &expected)
}

#[test]
fn a_place_that_is_a_link_in_the_image_is_mounted_at_its_end() {
    const FIRST: &str =
        "900 134 254:0 /s/trust/ca-bundle.pem /etc/ssl/certs/ca-certificates.crt ro - ext4 d rw";
    const SECOND: &str = "901 134 254:0 /s/trust/ca-bundle.pem /etc/ssl/cert.pem ro - ext4 d rw";
    let over = FIRST.replace("900 134", "902 900");
    assert_eq!(with_bundles(&[FIRST, SECOND]), [""; 0], "two plain files");
    assert_eq!(with_bundles(&[FIRST, &over]), [""; 0], "one over the other");
    let elsewhere = SECOND.replace("/etc/ssl/cert.pem", "/usr/share/certs.pem");
    assert_eq!(with_bundles(&[FIRST, &elsewhere]), [""; 0], "a place of its own");

    let starts = |said: &[String], starts: &[&str]| {
        let as_wanted = said.iter().zip(starts).all(|(said, start)| said.starts_with(start));
        assert!(said.len() == starts.len() && as_wanted, "{said:?}");
    };
    let missing = "nothing is mounted at /etc/ssl/cert.pem, where /s/trust/ca-bundle.pem must be";
    starts(&with_bundles(&[FIRST]), &[missing]);
    let writable = SECOND.replace(" ro ", " rw ");
    let unexpected = "254:0 /s/trust/ca-bundle.pem (ext4) is mounted at /etc/ssl/cert.pem, which neither";
    starts(&with_bundles(&[FIRST, &writable]), &[missing, unexpected]);
    for (from, to) in [("/s/trust/ca-bundle.pem", "/s/trust"), ("254:0", "254:1"), ("ca-bundle", "agents")] {
        let other = SECOND.replace(from, to);
        let said = with_bundles(&[FIRST, &other]);
        assert!(
            said.len() == 2 && said[0].starts_with(missing) && said[1].contains(" is mounted at "),
            "{said:?}"
        );
    }
    starts(
        &with_bundles(&[FIRST, SECOND, &over]),
        &[
            "254:0 /s/trust/ca-bundle.pem (ext4) is mounted at /etc/ssl/certs/ca-certificates.crt, which neither",
        ],
    );
    let removed = SECOND.replace("bundle.pem ", "bundle.pem//deleted ");
    starts(
        &with_bundles(&[FIRST, &removed]),
        &["/s/trust/ca-bundle.pem, mounted at /etc/ssl/cert.pem, was removed"],
    );
}
