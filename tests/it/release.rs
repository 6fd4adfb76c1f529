//! `scripts/release`, with the binary of these tests in the place of one that it would build.

use crate::golden::root;
use fs_err as fs;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

const TARGET: &str = "x86_64-unknown-linux-gnu";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Runs a program, which must succeed; what it says, in one text.
fn run(program: &str, arguments: &[&str], folder: &Path) -> String {
    let ran = Command::new(program).args(arguments).current_dir(folder).output();
    let ran = ran.unwrap_or_else(|why| panic!("{program}: {why}; run scripts/setup --tests"));
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    assert!(ran.status.success(), "{program} {arguments:?}: {said}");
    said
}

fn release(arguments: &[&str]) -> (Option<i32>, String) {
    let ran = Command::new(root().join("scripts/release")).args(arguments).output().unwrap();
    (ran.status.code(), String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned())
}

/// Two releases of the same binary, made at the same time in folders of their own.
fn two(folder: &Path) -> [std::path::PathBuf; 2] {
    let binary = folder.join("bottle");
    run("objcopy", &["--strip-all", env!("CARGO_BIN_EXE_bottle"), binary.to_str().unwrap()], folder);
    let outputs = ["one", "two"].map(|name| folder.join(name));
    std::thread::scope(|scope| {
        for output in &outputs {
            let binary = binary.to_str().unwrap();
            scope.spawn(move || {
                let output = output.to_str().unwrap();
                let from = "https://downloads.example/bottle/";
                let (code, said) = release(&["--from", from, "--binary", binary, "--output", output]);
                assert_eq!(code, Some(0), "{said}");
            });
        }
    });
    outputs
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_release_is_whole_installs_and_comes_out_the_same_twice() {
    assert!(env!("CARGO_BIN_EXE_bottle").contains(TARGET), "the names below are those of x86-64");
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = two(folder.path());
    let archive = format!("bottle-{VERSION}-{TARGET}.tar.gz");
    let sbom = format!("bottle-{VERSION}-{TARGET}.cdx.json");
    let deb = format!("bottle_{VERSION}_amd64.deb");
    let files = [archive.as_str(), &sbom, &deb, "bottle.rb", "provenance.json"];
    let mut expected: BTreeSet<String> = files.map(str::to_owned).into();
    expected.insert("SHA256SUMS".into());
    assert_eq!(names(&one), expected);
    for name in &expected {
        assert!(fs::read(one.join(name)).unwrap() == fs::read(two.join(name)).unwrap(), "{name} differs");
    }
    let checked = run("sha256sum", &["--check", "--strict", "SHA256SUMS"], &one);
    assert_eq!(checked.lines().count(), files.len(), "{checked}");

    the_package_installs(&one.join(&deb), folder.path());
    the_archive_has_the_same(&one.join(&archive), folder.path());
    the_formula_names_the_archive(&one, &archive);
    the_sbom_is_what_cargo_builds(&one.join(&sbom));
    the_provenance_names_every_file(&one, &files[..4]);
}

fn the_package_installs(deb: &Path, folder: &Path) {
    let deb = deb.to_str().unwrap();
    let info = run("dpkg-deb", &["--info", deb], folder);
    for line in [" Package: bottle", &format!(" Version: {VERSION}"), " Architecture: amd64"] {
        assert!(info.lines().any(|it| it == line), "{line}: {info}");
    }
    for script in ["preinst", "postinst", "prerm", "postrm"] {
        assert!(!info.contains(script), "{info}");
    }
    let contents = run("dpkg-deb", &["--contents", deb], folder);
    for line in contents.lines() {
        let is_plain = line.starts_with("-rw-r--r--")
            || line.starts_with("drwxr-xr-x")
            || line.starts_with("-rwxr-xr-x") && line.ends_with(" ./usr/bin/bottle");
        assert!(is_plain && line.contains(" root/root "), "{line}");
    }
    run("dpkg", &["--extract", deb, "installed"], folder);
    let installed = folder.join("installed/usr");
    let binary = installed.join("bin/bottle");
    let bottle = |arguments: &[&str]| run(binary.to_str().unwrap(), arguments, folder);
    assert_eq!(bottle(&["--version"]), format!("bottle {VERSION}\n"));
    let share = installed.join("share");
    for (shell, file) in [
        ("bash", "bash-completion/completions/bottle"),
        ("zsh", "zsh/vendor-completions/_bottle"),
        ("fish", "fish/vendor_completions.d/bottle.fish"),
    ] {
        assert_eq!(bottle(&["completions", shell]), fs::read_to_string(share.join(file)).unwrap(), "{shell}");
    }
    let manual = share.join("man/man1");
    let pages = names(&manual);
    let said = bottle(&["man"]);
    let verbs = regex::Regex::new(r"(?m)^bottle\\-(.+)\(1\)$").unwrap();
    let verbs = verbs.captures_iter(&said).map(|verb| verb[1].replace("\\-", "-"));
    let named = verbs.filter(|verb| verb != "help").map(|verb| format!("bottle-{verb}.1.gz"));
    assert_eq!(pages, named.chain(["bottle.1.gz".to_owned()]).collect());
    assert!(pages.len() > 20, "{pages:?}");
    for page in &pages {
        let read = run("man", &["--warnings", "--local-file", manual.join(page).to_str().unwrap()], folder);
        assert!(read.contains("SYNOPSIS") && !read.contains("warning"), "{page}: {read}");
    }
}

fn the_archive_has_the_same(archive: &Path, folder: &Path) {
    run("tar", &["--extract", "--gzip", "--file", archive.to_str().unwrap()], folder);
    let unpacked = folder.join(format!("bottle-{VERSION}-{TARGET}"));
    assert_eq!(
        names(&unpacked),
        ["CHANGELOG.md", "LICENSE", "README.md", "THIRD-PARTY", "bottle", "completions", "man"]
            .map(str::to_owned)
            .into()
    );
    let installed = folder.join("installed/usr/bin/bottle");
    assert!(fs::read(unpacked.join("bottle")).unwrap() == fs::read(installed).unwrap());
    let licences = fs::read_to_string(unpacked.join("THIRD-PARTY")).unwrap();
    assert!(licences.contains("\naws-lc-sys 0") && licences.contains("\nring ").eq(&false), "{TARGET}");
}

fn the_formula_names_the_archive(folder: &Path, archive: &str) {
    run("ruby", &["-c", "-W", "bottle.rb"], folder);
    let formula = fs::read_to_string(folder.join("bottle.rb")).unwrap();
    let sums = fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    let (digest, _) = sums.lines().find(|line| line.ends_with(archive)).unwrap().split_once(' ').unwrap();
    let said = format!(
        "  on_intel do\n    url \"https://downloads.example/bottle/{archive}\"\n    sha256 \"{digest}\"\n  end\n"
    );
    assert!(formula.contains(&said), "{formula}");
    assert!(!formula.contains("on_arm"), "{formula}");
}

/// Name and version of every crate that `cargo tree` has for the target; each with its digest in `Cargo.lock`.
fn the_sbom_is_what_cargo_builds(file: &Path) {
    let sbom: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    assert_eq!((&sbom["bomFormat"], &sbom["specVersion"]), (&"CycloneDX".into(), &"1.6".into()));
    let components = sbom["components"].as_array().unwrap();
    let text = |component: &Value, key: &str| component[key].as_str().unwrap().to_owned();
    let mut listed: BTreeSet<(String, String)> =
        components.iter().map(|it| (text(it, "name"), text(it, "version"))).collect();
    assert_eq!(listed.len(), components.len(), "nothing stands twice");
    for outside in ["glibc", "rust-std"] {
        let version = &listed.iter().find(|(name, _)| name == outside).unwrap().1;
        assert!(version.starts_with(|first: char| first.is_ascii_digit()), "{outside} {version}");
    }
    listed.retain(|(name, _)| name != "glibc" && name != "rust-std");
    let tree = ["tree", "--locked", "--edges", "normal,build", "--prefix", "none", "--target", TARGET];
    let tree = run("cargo", &tree, root());
    let crates = tree.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
    });
    let crates: BTreeSet<(String, String)> = crates.filter(|(name, _)| name != "bottle").collect();
    assert!(crates.len() > 200, "{}", crates.len());
    assert_eq!(listed, crates);
    let lock: toml::Table = toml::from_str(include_str!("../../Cargo.lock")).unwrap();
    let packages = lock["package"].as_array().unwrap();
    for component in components.iter().filter(|it| text(it, "purl").starts_with("pkg:cargo/")) {
        let locked = packages.iter().find(|it| {
            it["name"].as_str() == component["name"].as_str()
                && it["version"].as_str() == component["version"].as_str()
        });
        let digest = component["hashes"][0]["content"].as_str();
        assert_eq!(locked.unwrap()["checksum"].as_str(), digest, "{component}");
        assert!(component["licenses"][0]["expression"].is_string(), "{component}");
    }
    let refs: BTreeSet<&str> = components.iter().map(|it| it["bom-ref"].as_str().unwrap()).collect();
    for dependency in sbom["dependencies"].as_array().unwrap() {
        for need in dependency["dependsOn"].as_array().unwrap() {
            assert!(refs.contains(need.as_str().unwrap()), "{dependency}");
        }
    }
}

fn the_provenance_names_every_file(folder: &Path, files: &[&str]) {
    let text = fs::read(folder.join("provenance.json")).unwrap();
    let said: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(said["predicateType"], "https://slsa.dev/provenance/v1");
    let subjects: BTreeSet<&str> =
        said["subject"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(subjects, files.iter().copied().collect());
    let build = &said["predicate"]["buildDefinition"];
    assert_eq!(build["externalParameters"]["profile"], "given", "a binary that it did not build is said");
    let commit = run("git", &["rev-parse", "HEAD"], root());
    assert_eq!(build["resolvedDependencies"][0]["digest"]["gitCommit"], commit.trim());
}

#[test]
fn what_can_not_be_built_is_refused_with_what_to_install() {
    // A Rust that has the library of no target.
    let folder = tempfile::tempdir().unwrap();
    let rustc = run("sh", &["-c", "command -v rustc"], root());
    let stub = format!(
        "#!/bin/sh\ncase \"$*\" in *target-libdir*) echo /nowhere ;; *) exec {} \"$@\" ;; esac\n",
        rustc.trim()
    );
    fs::write(folder.path().join("rustc"), stub).unwrap();
    run("chmod", &["+x", "rustc"], folder.path());
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let mut script = Command::new(root().join("scripts/release"));
    let ran = script.args(["--from", "https://a.example"]).env("PATH", path).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!((ran.status.code(), ran.stdout.as_slice()), (Some(2), &b""[..]), "{said}");
    for target in ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"] {
        assert!(said.contains(&format!("rustup target add {target}")), "{said}");
    }
    for (arguments, why) in [
        (&[][..], "--from wants a URL"),
        (&["--from", "http://downloads.example"], "--from wants a URL"),
        (&["--from", "https://downloads.example/\"#{1}"], "a character that a URL escapes"),
        (
            &["--from", "https://a.example", "--target", "riscv64gc-unknown-linux-gnu"],
            "is no target of a release",
        ),
        (&["--from", "https://a.example", "--target"], "--target wants a value"),
        (&["--from", "https://a.example", "--sign"], "unknown argument --sign"),
        (&["--from", "https://a.example", "--binary", "b", "--profile", "dev"], "no meaning beside it"),
        (&["--from", "https://a.example", "--binary", "/usr/bin/env", "--output", "/usr"], "is no release"),
        (&["--from", "https://a.example", "--binary", "/usr/bin/env"], "is not bottle"),
    ] {
        let (code, said) = release(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
}
