//! What the kernel of this machine says of real containers, and that pins hold in them.

use super::harness::{self, IMAGES, Ran, docker, remove_project};
use bottle::kernel_view::{Bind, Container, Expected, Fault, Mismatch, Source, Volume};
use camino::Utf8PathBuf;
use fs_err as fs;
use fs_err::os::unix::fs::symlink;

/// A folder of binds, and the containers that have them.
struct Place {
    project: String,
    folder: Utf8PathBuf,
    _turn: harness::Place,
}

impl Place {
    fn new(claim: &str) -> Self {
        let turn = harness::Place::take();
        let folder =
            Utf8PathBuf::from_path_buf(harness::folder().canonicalize().unwrap()).unwrap().join(claim);
        fs::create_dir_all(folder.join("app/docker/agent")).unwrap();
        fs::create_dir_all(folder.join("app/with space")).unwrap();
        fs::create_dir_all(folder.join("data")).unwrap();
        fs::write(folder.join("file"), "x").unwrap();
        Self { project: format!("{}{claim}", harness::PREFIX), folder, _turn: turn }
    }

    fn source(&self, path: &str) -> Source {
        Source::at(&self.folder.join(path)).unwrap()
    }

    fn bind(&self, source: &str, target: &str, read_only: bool) -> Bind {
        Bind { target: target.into(), source: self.source(source), read_only }
    }

    fn volume(&self) -> String {
        format!("{}_data", self.project)
    }

    /// The project with a pinned and a guarded folder, a plain file, a volume and a tmpfs.
    fn expected(&self) -> Expected {
        Expected {
            binds: vec![
                self.bind("app", "/work", false),
                self.bind("app/docker", "/work/docker", false),
                self.bind("app/docker/agent", "/work/docker/agent", true),
                self.bind("app/with space", "/with space", false),
                self.bind("data", "/data", true),
                self.bind("file", "/file", true),
            ],
            volumes: vec![Volume { target: "/volume".into(), name: self.volume(), read_only: false }],
            tmpfs: vec!["/t".into()],
            ..Expected::default()
        }
    }

    /// Starts a container with what is expected, by the paths of the sources, and `more` arguments.
    fn start(&self, expected: &Expected, more: &[&str]) -> Started {
        let label = format!("{}={}", harness::PROJECT, self.project);
        let mut arguments = vec!["run", "--detach", "--tty", "--init", "--cap-drop=ALL"];
        let bind = |bind: &Bind| {
            let access = if bind.read_only { ",readonly" } else { "" };
            format!("--mount=type=bind,source={},target={}{access}", bind.source.path, bind.target)
        };
        let volume =
            |volume: &Volume| format!("--mount=type=volume,source={},target={}", volume.name, volume.target);
        let mut mounts: Vec<String> = expected.binds.iter().map(bind).collect();
        mounts.extend(expected.volumes.iter().map(volume));
        mounts.extend(expected.tmpfs.iter().map(|target| format!("--tmpfs={target}")));
        arguments.extend(mounts.iter().map(String::as_str));
        arguments.extend(["--label", &label].iter().chain(more));
        for (option, usual) in [("--network", "--network=none"), ("--user", "--user=0")] {
            if !more.iter().any(|argument| argument.starts_with(option)) {
                arguments.push(usual);
            }
        }
        arguments.extend([IMAGES[0], "sleep", "infinity"]);
        let id = docker(arguments).ok().out.trim().to_owned();
        let pid = docker(["inspect", "--format", "{{.State.Pid}}", &id]).ok().out.trim().parse().unwrap();
        Started { pid, id }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        remove_project(&self.project);
        docker(["volume", "rm", "--force", &self.volume()]);
    }
}

struct Started {
    pid: u32,
    id: String,
}

impl Started {
    fn container(&self) -> Container {
        Container::find(self.pid, &self.id).unwrap()
    }

    #[track_caller]
    fn mismatches(&self, expected: &Expected) -> Vec<Mismatch> {
        match self.container().check_mounts(expected) {
            Ok(()) => Vec::new(),
            Err(Fault::Mounts { found, .. }) => found,
            Err(fault) => panic!("{fault}"),
        }
    }

    fn runs(&self, script: &str) -> Ran {
        docker(["exec", &self.id, "sh", "-c", script])
    }
}

fn target(path: &str) -> Utf8PathBuf {
    path.into()
}

#[test]
fn what_is_mounted_is_what_was_agreed_to_until_somebody_replaces_it() {
    if !harness::available() {
        return;
    }
    let place = Place::new("kernel-view");
    let expected = place.expected();
    let started = place.start(&expected, &[]);
    assert_eq!(started.mismatches(&expected), []);

    // What is pinned, and what leads to it, can't be moved by the container's root.
    for attempt in [
        "mv /work/docker /work/docker.old",
        "mv /work/docker/agent /work/docker/agent.old",
        "rmdir /work/docker/agent",
        "mkdir /work/new && mv -T /work/new /work/docker",
    ] {
        let ran = started.runs(attempt);
        assert!(
            ran.code != Some(0) && ran.text().contains("Device or resource busy"),
            "{attempt}: {}",
            ran.text()
        );
    }
    assert_ne!(started.runs("echo x > /work/docker/agent/Dockerfile").code, Some(0));
    started.runs("echo x > /work/docker/mine").ok();
    assert_eq!(started.mismatches(&expected), []);

    // An access or a source that is not the agreed one.
    let mut other = expected.clone();
    other.binds[4].read_only = false;
    other.binds[5].source = place.source("app/docker/mine");
    let found = started.mismatches(&other);
    assert_eq!(found[0], Mismatch::Access { target: "/data".into(), read_only: false });
    assert!(matches!(&found[1], Mismatch::Other { target, .. } if target == "/file"), "{found:?}");
    assert_eq!(found.len(), 2);

    // On the host nothing holds them: a folder is moved away, and another one is there instead.
    let app = place.folder.join("app");
    fs::rename(app.join("docker"), app.join("docker.old")).unwrap();
    fs::create_dir(app.join("docker")).unwrap();
    let found = started.mismatches(&expected);
    assert!(
        found.iter().any(|it| matches!(it, Mismatch::Missing { target, .. } if target == "/work/docker")),
        "{found:?}"
    );
    fs::remove_dir(place.folder.join("data")).unwrap();
    let found = started.mismatches(&expected);
    let wanted = place.folder.join("data").into_string();
    assert!(found.contains(&Mismatch::Deleted { target: target("/data"), wanted }), "{found:?}");
}

#[test]
fn a_source_that_is_swapped_before_the_container_is_made_is_seen() {
    if !harness::available() {
        return;
    }
    let place = Place::new("kernel-swap");
    let agreed = Expected { binds: vec![place.bind("data", "/data", false)], ..Expected::default() };
    let data = place.folder.join("data");
    let refused = |started: &Started| {
        let found = started.mismatches(&agreed);
        assert!(matches!(found.as_slice(), [Mismatch::Other { .. } | Mismatch::Object { .. }]), "{found:?}");
        found.into_iter().next()
    };

    fs::rename(&data, place.folder.join("old")).unwrap();
    symlink("/etc", &data).unwrap();
    let started = place.start(&agreed, &[]);
    assert!(matches!(refused(&started), Some(Mismatch::Other { found, .. }) if found.contains(" /etc ")));
    assert!(Source::at(&data).is_err(), "it is a link now");

    fs::remove_file(&data).unwrap();
    fs::create_dir(&data).unwrap();
    // Another folder at the same path: the inode tells, to those who may look.
    let started = place.start(&agreed, &[]);
    if rustix::process::geteuid().is_root() {
        assert!(matches!(refused(&started), Some(Mismatch::Object { .. })));
    }
}

#[test]
fn a_mount_that_nobody_asked_for_and_another_process_are_seen() {
    if !harness::available() {
        return;
    }
    let place = Place::new("kernel-more");
    let expected = Expected { binds: vec![place.bind("app", "/work", false)], ..Expected::default() };
    let more = place.start(&expected, &["--mount=type=bind,source=/etc,target=/work/etc,readonly"]);
    let found = more.mismatches(&expected);
    assert!(
        matches!(found.as_slice(), [Mismatch::Unexpected { target, .. }] if target == "/work/etc"),
        "{found:?}"
    );

    let network = format!("--network=container:{}", more.id);
    let joined = place.start(&Expected::default(), &[&network]);
    let apart = place.start(&Expected::default(), &["--read-only", "--ipc=shareable", "--user=65532"]);
    assert_eq!(joined.mismatches(&Expected::default()), []);
    assert_eq!(apart.mismatches(&Expected::default()), []);
    let sys = |started: &Started| started.container().network_by_sysfs().unwrap().unwrap();
    assert_eq!(sys(&joined), sys(&more));
    assert_ne!(sys(&apart), sys(&more));
    let namespace = |started: &Started| started.container().network_namespace();
    if rustix::process::geteuid().is_root() {
        assert_eq!(namespace(&joined).unwrap(), namespace(&more).unwrap());
        assert_ne!(namespace(&apart).unwrap(), namespace(&more).unwrap());
    } else {
        assert!(matches!(namespace(&joined), Err(Fault::Denied { .. })));
    }

    // The pid of one container under the name of another, and a container that has ended.
    let said = Container::find(joined.pid, &more.id).unwrap_err().to_string();
    assert!(said.contains(&joined.id) && said.contains("Docker Desktop"), "{said}");
    let container = more.container();
    docker(["kill", &more.id]).ok();
    docker(["wait", &more.id]).ok();
    let fault = container.check_mounts(&expected).unwrap_err();
    assert!(matches!(fault, Fault::Ended { .. }), "{fault}");
    assert!(matches!(Container::find(more.pid, &more.id), Err(Fault::NotHere { .. })));
}
