//! The state of a bottle: who may read it, what is kept, what is made anew, and what a crash leaves.

use bottle::clock::Clock;
use bottle::state::{Event, ImageBinary, Location, MintRequest, Minted, State, StateError};
use camino::{Utf8Path, Utf8PathBuf};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

struct Home {
    _dir: tempfile::TempDir,
    path: Utf8PathBuf,
}

fn home() -> Home {
    let dir = tempfile::tempdir().unwrap();
    Home { path: Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap(), _dir: dir }
}

impl Home {
    fn location(&self) -> Location {
        Location::find(
            Utf8Path::new("/p/.bottle/dev"),
            Some(&self.path.join("state")),
            None,
            Utf8Path::new("/h"),
        )
        .unwrap()
    }

    fn open(&self) -> State {
        // What another test forks holds this lock, too, until it executes its program: that is waited for.
        State::open(&self.location(), &[], || {}).unwrap()
    }

    fn mint(&self, at: &str, change: impl FnOnce(&mut MintRequest<'_>)) -> Minted {
        let clock = Clock::fixed(at.parse().unwrap());
        let mut wants = MintRequest {
            bottle: "dev",
            egress_proxy: true,
            extra_ca: None,
            supervise: false,
            image: None,
            rotate: false,
        };
        change(&mut wants);
        self.open().mint(&wants, &clock).unwrap()
    }

    fn read(&self, path: &str) -> String {
        fs_err::read_to_string(self.path.join("state").join(path)).unwrap()
    }

    fn stat(&self, path: &str) -> std::fs::Metadata {
        self.path.join("state").join(path).metadata().unwrap()
    }
}

const DAY_ONE: &str = "2026-11-24T12:00:00Z";
const LATER: &str = "2027-02-24T12:00:00Z";
const NEAR_THE_END: &str = "2027-09-24T12:00:00Z";
const AFTER_THE_END: &str = "2029-01-01T00:00:00Z";

#[test]
fn only_the_owner_sees_keys_and_everybody_sees_the_trust_bundle() {
    let home = home();
    home.mint(DAY_ONE, |_| {});
    let modes = [
        ("", 0o700),
        ("egress-proxy", 0o700),
        ("pipelock", 0o700),
        ("trust", 0o755),
        ("image", 0o755),
        ("egress-proxy/agent-ca-key.pem", 0o600),
        ("pipelock/pipelock-ca-key.pem", 0o600),
        ("trust/ca-bundle.pem", 0o644),
        ("trust/browser-policy.json", 0o644),
        ("trust/truststore.p12", 0o644),
    ];
    for (path, mode) in modes {
        assert_eq!(home.stat(path).permissions().mode() & 0o7777, mode, "{path}");
    }
    assert!(
        !home.path.join("state/egress-proxy/pipelock-ca-key.pem").exists(),
        "one CA's key is in one place"
    );
}

#[test]
fn as_root_the_services_read_their_files_as_65532() {
    let home = home();
    let user = home.open().user();
    home.mint(DAY_ONE, |_| {});
    let expected =
        if rustix::process::geteuid().is_root() { 65532 } else { rustix::process::geteuid().as_raw() };
    assert_eq!(user, expected);
    for path in ["egress-proxy", "egress-proxy/agent-ca-key.pem", "pipelock/pipelock-ca-key.pem", "pipelock"]
    {
        assert_eq!(home.stat(path).uid(), expected, "{path}");
    }
}

#[test]
fn minted_once_then_kept_to_the_byte_and_the_inode() {
    let home = home();
    let first = home.mint(DAY_ONE, |_| {});
    assert_eq!(first.agent.as_ref().unwrap().event, Event::Minted);
    let files = ["egress-proxy/agent-ca-key.pem", "trust/ca-bundle.pem", "trust/truststore.p12"];
    let before = files.map(|file| (home.stat(file).ino(), home.stat(file).mtime_nsec()));
    let second = home.mint(LATER, |_| {});
    assert_eq!(second.pipelock.event, Event::Kept);
    assert_eq!(second.label(), first.label());
    assert_eq!(files.map(|file| (home.stat(file).ino(), home.stat(file).mtime_nsec())), before);
}

#[test]
fn renewed_when_less_than_a_third_is_left_and_when_expired() {
    for at in [NEAR_THE_END, AFTER_THE_END] {
        let home = home();
        let first = home.mint(DAY_ONE, |_| {});
        let again = home.mint(at, |_| {});
        assert_eq!(again.agent.as_ref().unwrap().event, Event::Renewed);
        assert_ne!(again.label(), first.label());
        assert!(again.pipelock.not_after > at.parse().unwrap());
        let certificate = home.read("pipelock/pipelock-ca.pem");
        assert_eq!(home.read("egress-proxy/pipelock-ca.pem"), certificate, "its copy follows");
        assert!(home.read("trust/ca-bundle.pem").ends_with(&home.read("egress-proxy/agent-ca.pem")));
    }
}

#[test]
fn rotated_when_asked_and_the_old_one_is_trusted_no_more() {
    let home = home();
    home.mint(DAY_ONE, |_| {});
    let old = home.read("egress-proxy/agent-ca.pem");
    let again = home.mint(DAY_ONE, |wants| wants.rotate = true);
    assert_eq!(again.agent.unwrap().event, Event::Rotated);
    assert!(!home.read("trust/ca-bundle.pem").contains(&old));
}

#[test]
fn without_an_egress_proxy_the_agent_trusts_pipelock_and_what_it_passes_through() {
    let home = home();
    let extra = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";
    let ca = bottle::pki::CertificateAuthority::mint(bottle::pki::CaKind::Agent, "other", &Clock::system())
        .unwrap();
    let real = ca.certificate_pem();
    let minted = home.mint(DAY_ONE, |wants| wants.egress_proxy = false);
    assert_eq!(minted.agent, None);
    assert!(home.read("trust/ca-bundle.pem").ends_with(&home.read("pipelock/pipelock-ca.pem")));
    assert!(!home.path.join("state/egress-proxy/agent-ca-key.pem").exists());
    let clock = Clock::fixed(DAY_ONE.parse().unwrap());
    let wants = MintRequest {
        bottle: "dev",
        egress_proxy: false,
        extra_ca: Some(&real),
        supervise: false,
        image: None,
        rotate: false,
    };
    home.open().mint(&wants, &clock).unwrap();
    assert!(home.read("trust/ca-bundle.pem").ends_with(&real));
    let broken = MintRequest { extra_ca: Some(extra), ..wants };
    assert!(
        home.open().mint(&broken, &clock).is_err(),
        "what is no certificate does not enter a trust store"
    );
}

/// The state after `damage`, and after the render that follows.
fn completed_after(damage: impl FnOnce(&Utf8Path), why: &str) {
    let home = home();
    home.mint(DAY_ONE, |_| {});
    damage(&home.path.join("state"));
    fs_err::write(home.path.join("state/trust/.bottle-staged-1-ca-bundle.pem"), "half").unwrap();
    let minted = home.mint(DAY_ONE, |_| {});
    assert_eq!(minted.agent.unwrap().event, Event::Repaired(why.to_owned()));
    assert_eq!(minted.pipelock.event, Event::Kept);
    assert!(home.read("trust/ca-bundle.pem").ends_with(&home.read("egress-proxy/agent-ca.pem")));
    assert!(!home.path.join("state/trust/.bottle-staged-1-ca-bundle.pem").exists());
    assert_eq!(home.mint(DAY_ONE, |_| {}).agent.unwrap().event, Event::Kept);
}

#[test]
fn what_a_crash_left_is_completed_and_said() {
    for file in ["agent-ca-key.pem", "agent-ca.pem"] {
        let remove = |state: &Utf8Path| fs_err::remove_file(state.join("egress-proxy").join(file)).unwrap();
        completed_after(remove, &format!("{file} was missing"));
    }
    let mix = |state: &Utf8Path| {
        let other = state.join("pipelock/pipelock-ca-key.pem");
        fs_err::copy(other, state.join("egress-proxy/agent-ca-key.pem")).unwrap();
    };
    completed_after(mix, "the CA certificate and the CA key do not belong together");
}

#[test]
fn the_image_changes_only_with_the_binary() {
    let home = home();
    let binary = home.path.join("fake");
    let mut elf = vec![0_u8; 120];
    elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
    (elf[18], elf[32], elf[54], elf[56]) = (0x3e, 64, 56, 0);
    fs_err::write(&binary, &elf).unwrap();
    let mint = || {
        let image = ImageBinary::read(Some(&binary)).unwrap();
        let wants = MintRequest {
            bottle: "dev",
            egress_proxy: true,
            extra_ca: None,
            supervise: false,
            image: Some(&image),
            rotate: false,
        };
        home.open().mint(&wants, &Clock::fixed(DAY_ONE.parse().unwrap())).unwrap().image_changed
    };
    assert!(mint());
    let before = (home.stat("image/bottle").ino(), home.stat("image/bottle").mtime_nsec());
    assert!(!mint());
    assert_eq!((home.stat("image/bottle").ino(), home.stat("image/bottle").mtime_nsec()), before);
    assert_eq!(home.stat("image/bottle").permissions().mode() & 0o777, 0o755);
    assert!(home.read("image/Dockerfile").contains("FROM scratch\nCOPY bottle /bottle\n"));
    elf.push(0);
    fs_err::write(&binary, &elf).unwrap();
    assert!(mint());
}

#[test]
fn a_folder_in_use_for_something_else_is_refused() {
    let home = home();
    fs_err::create_dir(home.path.join("state")).unwrap();
    fs_err::write(home.path.join("state/thesis.tex"), "").unwrap();
    let error = State::open(&home.location(), &[], || {}).unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "{}/state is not empty and is not a state of bottle; name a new or empty folder with --state DIR",
            home.path
        )
    );
}

#[test]
fn two_folders_never_share_a_state() {
    let home = home();
    home.open();
    let chosen = home.path.join("state");
    let other =
        Location::find(Utf8Path::new("/q/.bottle/dev"), Some(&chosen), None, Utf8Path::new("/h")).unwrap();
    let error = State::open(&other, &[], || {}).unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "the state {chosen} belongs to /p/.bottle/dev, not to /q/.bottle/dev; name another folder with --state DIR"
        )
    );
}

#[test]
fn a_state_under_what_the_agent_mounts_is_refused_links_resolved() {
    let home = home();
    let mounted = home.path.join("mounted");
    fs_err::create_dir(&mounted).unwrap();
    fs_err::os::unix::fs::symlink(&mounted, home.path.join("link")).unwrap();
    let chosen = home.path.join("link/keys");
    let location =
        Location::find(Utf8Path::new("/p/.bottle/dev"), Some(&chosen), None, Utf8Path::new("/h")).unwrap();
    let error = State::open(&location, &[mounted], || {}).unwrap_err();
    assert!(matches!(error, StateError::Exposed { .. }), "{error}");
    assert!(!chosen.exists());
}

#[test]
fn a_second_render_waits_for_the_first_and_says_so() {
    let home = home();
    let first = home.open();
    let (said, heard) = std::sync::mpsc::channel();
    let location = home.location();
    let second = std::thread::spawn(move || {
        let state = State::open(&location, &[], || said.send("waiting").unwrap()).unwrap();
        said.send("done").unwrap();
        drop(state);
    });
    assert_eq!(heard.recv().unwrap(), "waiting");
    assert!(heard.try_recv().is_err(), "it waits");
    drop(first);
    assert_eq!(heard.recv().unwrap(), "done");
    second.join().unwrap();
}

#[test]
fn a_first_render_that_was_killed_leaves_a_folder_that_the_next_one_takes() {
    let home = home();
    fs_err::create_dir(home.path.join("state")).unwrap();
    fs_err::write(home.path.join("state/lock"), "").unwrap();
    fs_err::write(home.path.join("state/.bottle-staged-1-out"), "/p/.bott").unwrap();
    home.mint(DAY_ONE, |_| {});
    assert_eq!(home.read("out"), "/p/.bottle/dev\n");
    assert!(!home.path.join("state/.bottle-staged-1-out").exists());
}
