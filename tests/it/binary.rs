//! The binary needs nothing of the image that it runs in.

use std::{
    io::Write as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    process::Command,
};

const BOTTLE: &str = env!("CARGO_BIN_EXE_bottle");

fn readelf(flags: &str) -> String {
    let ran = Command::new("readelf").args([flags, "--wide", BOTTLE]).output().unwrap();
    assert!(ran.status.success());
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
fn it_is_a_static_pie_with_full_relro() {
    let header = readelf("--file-header");
    assert!(header.contains("Type:                              DYN"), "{header}");
    let segments = readelf("--program-headers");
    assert!(!segments.contains("INTERP"), "it asks for a loader:\n{segments}");
    assert!(segments.contains("GNU_RELRO"), "{segments}");
    let stack = segments.lines().find(|line| line.trim_start().starts_with("GNU_STACK")).unwrap();
    assert!(stack.contains(" RW "), "an executable stack: {stack}");
    let dynamic = readelf("--dynamic");
    assert!(!dynamic.contains("(NEEDED)"), "it needs libraries:\n{dynamic}");
    assert!(!dynamic.contains("(TEXTREL)"), "{dynamic}");
    assert!(dynamic.contains("(FLAGS_1)") && dynamic.contains("NOW") && dynamic.contains("PIE"), "{dynamic}");
}

const MANIFEST: &str = "version: 1\nname: empty\nagent: {image: \"example.test/agent:1\"}\n\
    egress_proxy: {routes: [{host: api.example.test}]}\n";

/// No loader, no library, no `/etc`, no `/dev`, no `/proc`: what it needs besides its files are system calls.
#[test]
fn it_runs_in_an_empty_root_as_an_unknown_user() {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "only root can change the root folder, and CI is set");
        let _ =
            writeln!(std::io::stderr(), "binary: not root, so the test in an empty root folder is NOT run");
        return;
    }
    let root = tempfile::tempdir().unwrap();
    fs_err::set_permissions(root.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    fs_err::copy(BOTTLE, root.path().join("bottle")).unwrap();
    for folder in ["project", "state"] {
        fs_err::create_dir(root.path().join(folder)).unwrap();
        std::os::unix::fs::chown(root.path().join(folder), Some(65532), Some(65532)).unwrap();
    }
    fs_err::write(root.path().join("project/bottle.yaml"), MANIFEST).unwrap();
    let bottle = |arguments: &[&str]| {
        let mut command = Command::new("chroot");
        let command = command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin")
            .env("XDG_STATE_HOME", "/state")
            .arg("--userspec=65532:65532")
            .arg(root.path())
            .arg("/bottle");
        let ran = command.args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
        assert!(ran.status.success(), "{arguments:?}: {text}");
        text
    };
    assert_eq!(bottle(&["--version"]), format!("bottle {}\n", env!("CARGO_PKG_VERSION")));
    // Reads a manifest, takes random numbers for keys, writes the tree.
    bottle(&["render", "--accept-widening", "--image-binary", "/bottle", "/project/bottle.yaml"]);
    let rendered = root.path().join("project/.bottle/empty/docker-compose.yml");
    assert_eq!(fs_err::metadata(rendered).unwrap().uid(), 65532);
}
