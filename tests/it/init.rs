//! `bottle init` as a black box: what it reads from where, what it writes, and what it refuses to believe.

mod ecosystems;
mod hostile;
mod property;

use camino::Utf8PathBuf;
use serde_json::Value;
use std::process::{Command, Output, Stdio};

/// A project, a home and a PATH with nothing on them.
pub(crate) struct Site {
    _dir: tempfile::TempDir,
    root: Utf8PathBuf,
}

impl Site {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
        for folder in ["app", "home", "bin"] {
            fs_err::create_dir(root.join(folder)).unwrap();
        }
        let mut elf = vec![0_u8; 64];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (elf[18], elf[32], elf[54]) = (0x3e, 64, 56);
        fs_err::write(root.join("image-binary"), elf).unwrap();
        let site = Self { root, _dir: dir };
        for (path, text) in files {
            site.write(&format!("app/{path}"), text);
        }
        site
    }

    /// A file below the root: `app/…` of the project, `home/…` of the person.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs_err::read_to_string(self.root.join("app").join(path)).unwrap()
    }

    fn app(&self) -> Utf8PathBuf {
        self.root.join("app")
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bottle"));
        command.env_clear().env("HOME", self.root.join("home")).env("PATH", self.root.join("bin"));
        command.env("XDG_STATE_HOME", self.root.join("state")).env("GOROOT", self.root.join("goroot"));
        command.env("MAVEN_HOME", self.root.join("maven"));
        command.current_dir(self.app()).stdin(Stdio::null()).args(arguments);
        command
    }

    pub(crate) fn bottle(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What `init --print --format json` says.
    pub(crate) fn found(&self, agent: &str) -> Value {
        let ran = self.bottle(&["init", "--print", "--agent", agent, "--format", "json"]);
        assert!(ran.status.success(), "{}", err(&ran));
        serde_json::from_slice(&ran.stdout).unwrap()
    }

    /// Writes, and requires that `render` takes what was written and points at nothing but what every writable
    /// repository has.
    #[track_caller]
    pub(crate) fn init(&self, arguments: &[&str]) -> String {
        let ran = self.bottle(&[&["init", "--yes"], arguments].concat());
        assert!(ran.status.success(), "{}", err(&ran));
        let rendered = self.bottle(&[
            "render",
            "--accept-widening",
            "--image-binary",
            self.root.join("image-binary").as_str(),
        ]);
        assert!(rendered.status.success(), "{}\n{}", err(&rendered), self.read("bottle.yaml"));
        let lints: Vec<String> =
            err(&rendered).lines().filter(|line| line.starts_with("lint:")).map(str::to_owned).collect();
        let needless: Vec<_> = lints.iter().filter(|line| !line.ends_with("[writable-git]")).collect();
        assert!(needless.is_empty(), "{needless:?}\n{}", self.read("bottle.yaml"));
        err(&ran)
    }
}

pub(crate) fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// `HOST[:PORTS][ PATHS][ METHODS][ with TOKEN]  SOURCES`, of the hosts that are not the agent's.
pub(crate) fn lines(found: &Value) -> Vec<String> {
    let words = |value: &Value| -> Vec<String> {
        value
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it.as_str().map_or_else(|| it.to_string(), str::to_owned))
            .collect()
    };
    let line = |route: &Value| {
        let mut line = route["host"].as_str().unwrap().to_owned();
        for key in ["ports", "path_allowlist"] {
            let listed = words(&route[key]);
            if !listed.is_empty() {
                line = format!("{line} {}", listed.join(","));
            }
        }
        if words(&route["methods"]).contains(&"POST".to_owned()) {
            line += " +POST";
        }
        if let Some(token) = route["auth"]["token_ref"].as_str() {
            line = format!("{line} with {token}");
        }
        format!("{line} <- {}", words(&route["sources"]).join("; "))
    };
    let of_agent = |route: &&Value| route["sources"][0].as_str().unwrap().starts_with("the agent");
    found["hosts"].as_array().unwrap().iter().filter(|it| !of_agent(it)).map(line).collect()
}

/// A project of one file of each kind, as a person has it.
fn node_app() -> Site {
    let site = Site::new(&[
        ("package.json", "{\"name\": \"app\", \"engines\": {\"node\": \">=20 <23\"}}"),
        (
            "package-lock.json",
            "{\"lockfileVersion\": 3, \"packages\": {\"\": {}, \"node_modules/a\": {\"resolved\": \"https://packages.test/a/-/a-1.tgz\"}}}",
        ),
        (".npmrc", "@acme:registry=https://npm.acme.example/\n//npm.acme.example/:_authToken=abc\n"),
        (".git/config", "[remote \"origin\"]\n\turl = git@forge.example:acme/app.git\n"),
        ("CLAUDE.md", "# hi\n"),
    ]);
    site.write("home/.gitconfig", "[user]\n\tname = Jo Doe\n\temail = jo@acme.example\n");
    site
}

#[test]
fn a_whole_project_gives_these_files() {
    let site = node_app();
    let said = site.init(&[]);
    let files = ["bottle.yaml", "agent/Dockerfile", "agent/gitconfig", "agent/home/.claude.json"];
    let mut all = format!("$ bottle init --yes\n{said}");
    for file in files {
        all = format!("{all}\n---- {file}\n{}", site.read(file));
    }
    crate::golden::assert_golden(&crate::golden::root().join("tests/data/init/node-app.txt"), &all);
    assert_eq!(site.read(".bottle/bottle.schema.json"), bottle::manifest::schema_text());
}

#[test]
fn nothing_that_is_there_is_overwritten() {
    let site = node_app();
    site.write("app/agent/notes.txt", "mine");
    let said = site.init(&[]);
    assert!(said.contains("wrote bottle.yaml, bottle-agent/Dockerfile"), "{said}");
    assert_eq!(fs_err::read_dir(site.app().join("agent")).unwrap().count(), 1);
    let manifest = site.read("bottle.yaml");
    assert!(
        manifest.contains("context: \"./bottle-agent\"") || manifest.contains("context: ./bottle-agent"),
        "{manifest}"
    );
    let again = site.bottle(&["init", "--yes"]);
    assert_eq!(again.status.code(), Some(2));
    assert_eq!(
        err(&again),
        "error: bottle.yaml is there already, and init overwrites nothing: edit it, let `bottle learn` add hosts to it, \
         or move it away; `bottle init --print` shows what init would write\n"
    );
    // A folder that init made is used again, and what was changed in it is kept.
    let mine = site.read("bottle-agent/Dockerfile") + "RUN true\n";
    site.write("app/bottle-agent/Dockerfile", &mine);
    fs_err::remove_file(site.app().join("bottle.yaml")).unwrap();
    let said = site.init(&[]);
    assert!(said.contains("kept as they were: bottle-agent/Dockerfile"), "{said}");
    assert_eq!(site.read("bottle-agent/Dockerfile"), mine);
    assert_eq!(site.read("bottle.yaml"), manifest);
    let site = Site::new(&[("agent/x", ""), ("bottle-agent/x", "")]);
    let ran = site.bottle(&["init", "--yes"]);
    assert_eq!(ran.status.code(), Some(2));
    assert!(err(&ran).contains("has both `agent` and `bottle-agent`"), "{}", err(&ran));
}

#[test]
fn without_a_terminal_nothing_is_written_unless_it_is_said() {
    let site = node_app();
    let ran = site.bottle(&["init"]);
    assert_eq!(ran.status.code(), Some(1));
    assert!(err(&ran).ends_with(
        "nothing was written: there is no terminal to ask on; --yes writes this, --print shows it without writing\n"
    ));
    let printed = site.bottle(&["init", "--print"]);
    assert_eq!(printed.status.code(), Some(0));
    let text = String::from_utf8(printed.stdout).unwrap();
    assert!(
        text.starts_with("# yaml-language-server: ") && text.contains("\n# ---- agent/Dockerfile\n"),
        "{text}"
    );
    let names: Vec<_> = fs_err::read_dir(site.app()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(names.len(), 5, "{names:?}");
    // Another folder, by its name.
    let ran = site.command(&["init", "--yes", "app"]).current_dir(&site.root).output().unwrap();
    assert!(err(&ran).contains("next:\n  cd app\n"), "{}", err(&ran));
    assert!(site.read("bottle.yaml").starts_with("# yaml-language-server"));
}

#[test]
fn each_agent_has_its_rule_and_its_files() {
    for (agent, host, token, file) in [
        ("claude", "api.anthropic.com", "CLAUDE_CODE_OAUTH_TOKEN", "home/.claude.json"),
        ("codex", "api.openai.com", "OPENAI_API_KEY", "home/.codex/config.toml"),
        ("opencode", "api.anthropic.com", "ANTHROPIC_API_KEY", "Dockerfile"),
    ] {
        let site = Site::new(&[]);
        let said = site.init(&["--agent", agent]);
        assert!(said.contains(&format!("export {token}=…")), "{said}");
        let manifest = site.read("bottle.yaml");
        assert!(manifest.contains(&format!("host: {host}  # the agent, {agent}")), "{manifest}");
        assert!(manifest.contains(&format!("token_ref: {token}")), "{manifest}");
        assert!(site.app().join("agent").join(file).is_file());
        assert!(site.read("agent/Dockerfile").contains("RUN npm install --global "));
    }
    let site = Site::new(&[]);
    site.init(&["--agent", "shell"]);
    let manifest = site.read("bottle.yaml");
    assert!(!manifest.contains("egress_proxy") && manifest.contains("code: no-hosts"), "{manifest}");
    assert!(!site.read("agent/Dockerfile").contains("npm install"));
    let site = Site::new(&[("opencode.json", "{\"model\": \"other/x\"}")]);
    let found = site.found("opencode");
    assert!(found["not_known"][0].as_str().unwrap().contains("provider `other`"), "{found}");
}

#[test]
fn a_token_is_named_only_where_the_person_has_it_and_only_for_its_own_host() {
    let config = |url: &str| format!("[remote \"origin\"]\n\turl = {url}\n");
    let site = Site::new(&[(".git/config", &config("git@github.com:acme/app.git"))]);
    let run = |site: &Site, variables: &[(&str, &str)]| {
        let mut command = site.command(&["init", "--print", "--agent", "shell"]);
        let ran = command.envs(variables.iter().copied()).output().unwrap();
        String::from_utf8(ran.stdout).unwrap()
    };
    let with = run(&site, &[("GITHUB_TOKEN", "ghp_secretsecret")]);
    assert!(
        with.contains("      auth: { scheme: Basic, username: x-access-token, token_ref: GITHUB_TOKEN }\n"),
        "{with}"
    );
    assert!(!with.contains("secretsecret"));
    let other = run(&site, &[("GH_TOKEN", "x")]);
    assert!(other.contains("token_ref: GH_TOKEN }\n"), "{other}");
    let without = run(&site, &[("GITHUB_TOKEN", "")]);
    assert!(
        without.contains("      # for private repositories, export GITHUB_TOKEN and add:\n      # auth: {"),
        "{without}"
    );
    for evil in [
        "git@github.com.evil.test:acme/app.git",
        "git@github.evil.test:a/b",
        "https://github.com@evil.test/a/b",
    ] {
        let site = Site::new(&[(".git/config", &config(evil))]);
        let text = run(&site, &[("GITHUB_TOKEN", "x"), ("GITLAB_TOKEN", "x")]);
        assert!(text.contains("evil.test") && !text.contains("token_ref"), "{text}");
    }
}

#[test]
fn the_project_s_own_image_is_what_the_agent_s_begins_with() {
    let jsonc = "{\n  // the team's\n  \"image\": \"registry.example/team/dev:1\", /* x */\n}";
    let site = Site::new(&[
        ("Dockerfile", "FROM node:20\n"),
        (".devcontainer/devcontainer.json", jsonc),
        ("package.json", "{}"),
    ]);
    site.init(&["--agent", "claude"]);
    let text = site.read("agent/Dockerfile");
    assert!(
        text.contains("\n# .devcontainer/devcontainer.json\nFROM registry.example/team/dev:1\nUSER root\n"),
        "{text}"
    );
    assert!(!text.contains("COPY --from") && text.contains("for tool in bash curl git npm"), "{text}");
    let build =
        "{\"build\": {\"dockerfile\": \"../Dockerfile\", \"target\": \"dev\"}, \"features\": {\"x\": {}}}";
    let site = Site::new(&[
        ("Dockerfile", "ARG V=3.12\nFROM python:${V} AS base\nFROM nginx AS web\nFROM base AS dev\n"),
        (".devcontainer/devcontainer.json", build),
    ]);
    let said = site.init(&["--agent", "shell"]);
    assert!(
        site.read("agent/Dockerfile").contains("# Dockerfile\nFROM python:3.12\n"),
        "{}",
        site.read("agent/Dockerfile")
    );
    assert!(said.contains("note: .devcontainer/devcontainer.json: its features are not installed"), "{said}");
}
