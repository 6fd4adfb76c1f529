//! The texts that are read, and which ones.

use std::collections::{BTreeMap, BTreeSet};

/// A tool whose own files say where it fetches from, when nobody tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    /// The definitions of npm's settings.
    Npm,
    /// Yarn's program.
    Yarn,
    /// The module of pip that names its index.
    Pip,
    /// The configuration that cargo keeps of a registry.
    Cargo,
    /// Go's defaults.
    Go,
    /// Maven's super POM.
    Maven,
}

/// A file of a tool.
#[derive(Clone, Debug)]
pub struct ToolFile {
    /// Whose.
    pub tool: Tool,
    /// How it is called in a comment.
    pub label: String,
    /// What it says.
    pub text: String,
}

/// All that is read. Texts are what the files hold; no name here leads anywhere.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The name of the project's folder.
    pub folder: String,
    /// Files of the project, by their path in it.
    pub project: BTreeMap<String, String>,
    /// Files and folders of the project that are there, by their path in it.
    pub there: BTreeSet<String>,
    /// The person's configuration, by the path that a person knows it by (`~/.npmrc`).
    pub person: BTreeMap<String, String>,
    /// Files of tools on this machine.
    pub tools: Vec<ToolFile>,
    /// The person's environment, of the variables in [`Sources::VARIABLES`]; of those that hold secrets only that they
    /// are set.
    pub environment: BTreeMap<String, String>,
    /// What could not be read, a sentence each.
    pub unread: Vec<String>,
}

impl Sources {
    /// Files in the project's folder that have one name.
    pub const FILES: [&str; 45] = [
        "package.json",
        "package-lock.json",
        "npm-shrinkwrap.json",
        ".npmrc",
        ".nvmrc",
        ".node-version",
        "yarn.lock",
        ".yarnrc",
        ".yarnrc.yml",
        "pnpm-lock.yaml",
        "Cargo.toml",
        "Cargo.lock",
        ".cargo/config.toml",
        ".cargo/config",
        "rust-toolchain",
        "rust-toolchain.toml",
        "pip.conf",
        "pyproject.toml",
        "poetry.lock",
        "poetry.toml",
        "uv.lock",
        "uv.toml",
        ".python-version",
        "setup.py",
        "go.mod",
        "go.sum",
        "pom.xml",
        ".mvn/settings.xml",
        ".mvn/wrapper/maven-wrapper.properties",
        "build.gradle",
        "build.gradle.kts",
        "settings.gradle",
        "settings.gradle.kts",
        "gradle/wrapper/gradle-wrapper.properties",
        ".java-version",
        ".git/config",
        ".devcontainer/devcontainer.json",
        ".devcontainer.json",
        ".devcontainer/Dockerfile",
        "Dockerfile",
        "opencode.json",
        "opencode.jsonc",
        ".sdkmanrc",
        "requirements.in",
        "mvnw",
    ];

    /// Names that say something by being there.
    pub const MARKS: [&str; 9] =
        ["CLAUDE.md", ".claude", ".codex", ".opencode", "vendor", "node_modules", "gradlew", "mvnw", ".git"];

    /// The person's files, below the home folder.
    pub const HOME: [&str; 8] = [
        ".npmrc",
        ".yarnrc.yml",
        ".config/pip/pip.conf",
        ".pip/pip.conf",
        ".m2/settings.xml",
        ".gitconfig",
        ".config/git/config",
        ".config/go/env",
    ];

    /// Names in the home folder that say which agent the person uses.
    pub const HOME_MARKS: [&str; 4] = [".claude.json", ".claude", ".codex", ".config/opencode"];

    /// Variables whose values are read.
    pub const VARIABLES: [&str; 6] =
        ["GOPROXY", "GOSUMDB", "NPM_CONFIG_REGISTRY", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL"];

    /// Variables that hold secrets: only whether they are set is looked at.
    pub const SECRETS: [&str; 6] = [
        "CLAUDE_CODE_OAUTH_TOKEN",
        "ANTHROPIC_API_KEY",
        "OPENAI_API_KEY",
        "GITHUB_TOKEN",
        "GH_TOKEN",
        "GITLAB_TOKEN",
    ];

    /// Whether a file of the project's folder is read for its name.
    #[must_use]
    pub fn is_requirements(name: &str) -> bool {
        let path = camino::Utf8Path::new(name);
        name.starts_with("requirements") && matches!(path.extension(), Some("txt" | "in"))
    }

    /// The text of a file of the project.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        self.project.get(path).map(String::as_str)
    }

    /// Whether the project has it.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.project.contains_key(path) || self.there.contains(path)
    }

    /// Whether a variable is set, by a value that is not empty.
    #[must_use]
    pub fn is_set(&self, variable: &str) -> bool {
        self.environment.contains_key(variable)
    }

    /// The files of a tool.
    pub(super) fn of(&self, tool: Tool) -> impl Iterator<Item = &ToolFile> {
        self.tools.iter().filter(move |file| file.tool == tool)
    }
}
