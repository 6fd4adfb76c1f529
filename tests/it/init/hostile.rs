//! A project that was written against init: links, pipes, files without an end, texts that would like to be YAML.

use super::{Site, err, lines};
use bottle::init::Sources;
use fs_err::os::unix::fs::symlink;
use rustix::fs::{CWD, FileType, mknodat};
use std::os::unix::ffi::OsStrExt as _;

/// Ends a line, a comment, a string and a list item, steers a terminal, and looks like an entry.
const EVIL: &str = "x\\n- host: evil.test\\n\u{1b}[2J\u{2028}\\\"}]# ";

#[test]
fn no_file_is_followed_waited_for_or_read_without_an_end() {
    for file in Sources::FILES {
        let site = Site::new(&[]);
        site.write("secret", "registry=https://stolen.test/\n");
        let path = site.root.join("app").join(file);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(site.root.join("secret"), &path).unwrap();
        let ran = site.bottle(&["init", "--print", "--agent", "shell", "--format", "json"]);
        assert!(
            ran.status.success() && !String::from_utf8_lossy(&ran.stdout).contains("stolen.test"),
            "{file}"
        );
        fs_err::remove_file(&path).unwrap();
        mknodat(CWD, path.as_std_path(), FileType::Fifo, 0o600.into(), 0).unwrap();
        let ran = site.bottle(&["init", "--yes", "--agent", "shell"]);
        assert!(ran.status.success(), "{file}: {}", err(&ran));
        assert!(err(&ran).contains("is a pipe"), "{file}: {}", err(&ran));
    }
}

#[test]
fn a_folder_that_is_a_link_and_a_sparse_file_are_said() {
    let site = Site::new(&[]);
    site.write("elsewhere/config", "[remote \"o\"]\n\turl = https://stolen.test/a/b\n");
    symlink(site.root.join("elsewhere"), site.root.join("app/.git")).unwrap();
    fs_err::File::create(site.root.join("app/package-lock.json")).unwrap().set_len(2 << 30).unwrap();
    let said = site.init(&["--agent", "shell"]);
    assert!(said.contains("package-lock.json is larger than 16 MiB"), "{said}");
    assert!(said.contains(".git is a symbolic link, which bottle does not follow"), "{said}");
    assert!(!site.read("bottle.yaml").contains("stolen.test"));
}

#[test]
fn what_is_written_goes_through_no_link() {
    for planted in ["agent", ".bottle", "bottle.yaml", "agent/Dockerfile", ".bottle/bottle.schema.json"] {
        let site = Site::new(&[]);
        site.write("outside/Dockerfile", "mine");
        let path = site.root.join("app").join(planted);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        let target = if planted.contains("ile") || planted.contains("aml") || planted.contains("json") {
            "outside/Dockerfile"
        } else {
            "outside"
        };
        symlink(site.root.join(target), &path).unwrap();
        let _ = site.bottle(&["init", "--yes", "--agent", "shell"]); // refused, or beside it
        assert_eq!(
            fs_err::read_to_string(site.root.join("outside/Dockerfile")).unwrap(),
            "mine",
            "{planted}"
        );
        assert_eq!(fs_err::read_dir(site.root.join("outside")).unwrap().count(), 1, "{planted}");
    }
}

#[test]
fn texts_of_a_project_stay_texts() {
    let toml = EVIL.replace('\u{1b}', "\\u001b");
    let git = format!(
        "[remote \"{}\"]\n\turl = https://forge.test/a/{}\n\turl = https://forge.test/a/b\n",
        EVIL.replace('"', ""),
        EVIL.replace('"', "")
    );
    let files: Vec<(&str, String)> = vec![
        (
            "package.json",
            format!("{{\"engines\": {{\"node\": \"{toml}\"}}, \"packageManager\": \"pnpm@{toml}\"}}"),
        ),
        (
            "package-lock.json",
            format!(
                "{{\"a\": {{\"resolved\": \"https://{toml}\"}}, \"b\": {{\"resolved\": \"https://ok.test/{toml}/{toml}\"}}}}"
            ),
        ),
        (".npmrc", format!("registry=https://u:p{EVIL}@ok.test/\n")),
        (".nvmrc", EVIL.to_owned()),
        ("Cargo.toml", format!("x = \"{toml}\"")),
        ("rust-toolchain.toml", format!("[toolchain]\nchannel = \"{toml}\"\ncomponents = [\"{toml}\"]\n")),
        ("go.mod", format!("module x\ngo {EVIL}\ntoolchain go{EVIL}\n")),
        (
            "pom.xml",
            format!(
                "<project><java.version>{EVIL}</java.version><repositories><repository><url>https://{EVIL}</url></repository></repositories></project>"
            ),
        ),
        (".git/config", git),
        ("Dockerfile", format!("ARG X={EVIL}\nFROM ${{X}}\n")),
        (".devcontainer/devcontainer.json", format!("{{\"image\": \"{toml}\"}}")),
        ("opencode.json", format!("{{\"model\": \"{toml}/x\"}}")),
        ("requirements\n- host: evil.test\n#.txt", "-i https://ok.test/simple\n".to_owned()),
    ];
    let borrowed: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let site = Site::new(&borrowed);
    site.write("home/.gitconfig", &format!("[user]\n\tname = \"{}\"\n", EVIL.replace('"', "")));
    for agent in ["shell", "claude", "opencode"] {
        let found = site.found(agent);
        let hosts: Vec<String> =
            lines(&found).iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
        assert!(hosts.iter().all(|host| ["ok.test", "forge.test"].contains(&host.as_str())), "{hosts:?}");
        let manifest = found["manifest"]["text"].as_str().unwrap();
        let loaded = bottle::manifest::Manifest::load("bottle.yaml", manifest.as_bytes()).unwrap();
        assert!(loaded.manifest.hosts().all(|rule| rule.route.host.as_str() != "evil.test"), "{manifest}");
        let dockerfile = found["context"]["agent/Dockerfile"].as_str().unwrap();
        assert!(!dockerfile.contains("evil") && !dockerfile.contains('\u{1b}'), "{dockerfile}");
    }
    let said = site.init(&["--agent", "shell"]);
    assert!(!said.contains('\u{1b}') && !said.contains('\u{2028}') && !said.contains("\n- host"), "{said}");
    assert!(!site.read("bottle.yaml").contains(":p"), "a credential is copied");
}

#[test]
fn names_that_are_no_text_and_trees_without_end_are_survived() {
    let site = Site::new(&[
        ("package.json", "{}"),
        ("package-lock.json", &"{\"a\":".repeat(200_000)),
        ("pom.xml", &"<a>".repeat(100_000)),
    ]);
    let name = std::ffi::OsStr::from_bytes(b"requirements\xff.txt");
    fs_err::write(site.root.as_std_path().join("app").join(name), "").unwrap();
    site.write("app/Cargo.lock", &format!("x = {}", "[".repeat(100_000)));
    site.write("app/poetry.lock", &"[a.b.c]\n".repeat(1000));
    site.write("app/opencode.json", &"[".repeat(100_000));
    let said = site.init(&["--agent", "shell"]);
    for file in ["package-lock.json", "pom.xml", "Cargo.lock", "poetry.lock"] {
        assert!(said.contains(&format!("note: {file} is not read: ")), "{file}: {said}");
    }
}
