//! The agent's image: the project's own, or one of its languages; the agent; a home that any user can write.

use super::agent::Agent;
use super::findings::Findings;
use super::git;
use super::sources::Sources;
use super::toolchain::Toolchains;
use super::words;
use std::fmt::Write as _;

/// The version of Node.js that agents run on.
const NODE: &str = "24";

/// The files of the build context.
pub(super) fn context(sources: &Sources, agent: Agent, findings: &Findings) -> Vec<(&'static str, String)> {
    let home = agent.home();
    let dockerfile = dockerfile(sources, agent, findings, !home.is_empty());
    let mut files = vec![("Dockerfile", dockerfile), ("gitconfig", git::config(&findings.identity))];
    files.extend(home);
    files
}

fn dockerfile(sources: &Sources, agent: Agent, findings: &Findings, has_home: bool) -> String {
    let mut out = "# Written by `bottle init`. The build has this machine's network; what runs later has what bottle.yaml allows.\n".to_owned();
    let mut variables: Vec<(&str, String)> = Vec::new();
    if let Some(base) = &findings.base {
        let _ = writeln!(out, "# {}\nFROM {}\nUSER root", words::comment(&base.source), base.image);
        push_missing(&mut out, agent.package().is_some());
    } else {
        push_languages(&mut out, &findings.toolchains, agent, &mut variables);
        push_missing(&mut out, false);
        push_managers(&mut out, sources, &findings.toolchains);
    }
    if let Some(package) = agent.package() {
        let _ = writeln!(
            out,
            "# The version: `agent.build.args: {{AGENT_VERSION: \"1.2.3\"}}` in bottle.yaml.\n\
             ARG AGENT_VERSION=latest\n\
             RUN npm install --global \"{package}@$AGENT_VERSION\" && npm cache clean --force"
        );
    }
    // Where packages are fetched at work, what is asked for beside them would be refused.
    if findings.toolchains.node.is_some() {
        variables.extend(
            ["NPM_CONFIG_AUDIT", "NPM_CONFIG_FUND", "NPM_CONFIG_UPDATE_NOTIFIER"]
                .map(|it| (it, "false".to_owned())),
        );
    }
    if findings.toolchains.python.is_some() {
        variables.push(("PIP_DISABLE_PIP_VERSION_CHECK", "1".to_owned()));
        // Where pip puts programs for a user that can't write where the image has its own.
        variables.push(("PATH", "/home/agent/.local/bin:$PATH".to_owned()));
    }
    if findings.toolchains.rust.is_some() {
        variables.push(("CARGO_HOME", "/home/agent/.cargo".to_owned()));
        // git goes over https here whatever the URL says; cargo's own git does not know that.
        variables.push(("CARGO_NET_GIT_FETCH_WITH_CLI", "true".to_owned()));
    }
    if findings.toolchains.go.is_some() {
        variables.push(("GOPATH", "/home/agent/go".to_owned()));
        variables.push(("GOTOOLCHAIN", "local".to_owned()));
    }
    variables.extend(agent.variables().iter().map(|(name, value)| (*name, (*value).to_owned())));
    out.push_str("COPY gitconfig /etc/gitconfig\n");
    out.push_str(
        "# The agent runs as the owner of the project's folder, whoever that is: its home is everybody's.\n",
    );
    if has_home {
        out.push_str("COPY home/ /home/agent/\n");
    }
    out.push_str("RUN mkdir -p /home/agent && chmod -R a+rwX /home/agent\n");
    out.push_str("ENV HOME=/home/agent");
    for (name, value) in variables {
        let _ = write!(out, " \\\n    {name}={value}");
    }
    out.push_str("\nWORKDIR /work\nCMD [\"bash\"]\n");
    out
}

/// Installs what every agent needs, where the image does not have it.
fn push_missing(out: &mut String, with_npm: bool) {
    let tools = if with_npm { "bash curl git npm" } else { "bash curl git" };
    let _ = writeln!(
        out,
        "RUN set -e; missing=; \\\n    \
         for tool in {tools}; do command -v $tool > /dev/null || missing=\"$missing $tool\"; done; \\\n    \
         if [ -z \"$missing\" ]; then exit 0; fi; \\\n    \
         if command -v apt-get > /dev/null; then \\\n      \
           apt-get update; \\\n      \
           apt-get install --yes --no-install-recommends ca-certificates $missing; \\\n      \
           rm -rf /var/lib/apt/lists/*; \\\n    \
         elif command -v apk > /dev/null; then apk add --no-cache ca-certificates $missing; \\\n    \
         elif command -v dnf > /dev/null; then dnf install --assumeyes ca-certificates $missing; \\\n    \
         else echo \"install in this image:$missing\" >&2; exit 1; \\\n    \
         fi"
    );
}

/// The language that the image begins with; the others are copied into it.
fn push_languages(
    out: &mut String,
    found: &Toolchains,
    agent: Agent,
    variables: &mut Vec<(&'static str, String)>,
) {
    let number = |version: &super::Version| version.number.clone();
    let mut stages: Vec<(&str, String, &str)> = Vec::new();
    if let Some(version) = &found.python {
        stages.push(("python", format!("python:{}-bookworm", number(version)), &version.source));
    }
    if let Some(version) = &found.rust {
        stages.push(("rust", "rust:1-bookworm".to_owned(), &version.source));
    }
    if let Some(version) = &found.go {
        stages.push(("go", format!("golang:{}-bookworm", number(version)), &version.source));
    }
    if let Some(version) = &found.java {
        stages.push(("java", format!("eclipse-temurin:{}-jdk", number(version)), &version.source));
    }
    match &found.node {
        // The whole one has what native modules are built with.
        Some(version) => {
            let kind = if stages.is_empty() { "bookworm" } else { "bookworm-slim" };
            stages.push(("node", format!("node:{}-{kind}", number(version)), &version.source));
        }
        None if agent.package().is_some() => {
            stages.push(("node", format!("node:{NODE}-bookworm-slim"), "the agent"));
        }
        None => {}
    }
    let jdk = found.java.as_ref().map(number).unwrap_or_default();
    let (base, others) = match stages.split_first() {
        Some((base, others)) => (Some(base), others),
        None => (None, &[][..]),
    };
    for (name, image, source) in others {
        let _ = writeln!(out, "# {name}: {}\nFROM {image} AS {name}", words::comment(source));
    }
    match base {
        Some((name, image, source)) => {
            let _ = writeln!(out, "# {name}: {}\nFROM {image}", words::comment(source));
        }
        None => out.push_str("FROM debian:bookworm-slim\n"),
    }
    out.push_str("USER root\n");
    let mut paths = Vec::new();
    for (name, ..) in others {
        match *name {
            "rust" => {
                out.push_str("COPY --from=rust /usr/local/cargo /usr/local/cargo\nCOPY --from=rust /usr/local/rustup /usr/local/rustup\n");
                variables.push(("RUSTUP_HOME", "/usr/local/rustup".to_owned()));
                paths.push("/usr/local/cargo/bin");
            }
            "go" => {
                out.push_str("COPY --from=go /usr/local/go /usr/local/go\n");
                paths.push("/usr/local/go/bin");
            }
            "java" => {
                out.push_str("COPY --from=java /opt/java/openjdk /opt/java/openjdk\n");
                variables.push(("JAVA_HOME", "/opt/java/openjdk".to_owned()));
                paths.push("/opt/java/openjdk/bin");
            }
            _ => out.push_str(
                "COPY --from=node /usr/local/bin/node /usr/local/bin/node\n\
                 COPY --from=node /usr/local/lib/node_modules /usr/local/lib/node_modules\n\
                 RUN for tool in npm npx; do ln -sf ../lib/node_modules/npm/bin/$tool-cli.js /usr/local/bin/$tool; done\n",
            ),
        }
    }
    if !paths.is_empty() {
        // Before the next RUN, which may need them.
        let _ = writeln!(out, "ENV PATH={}:$PATH", paths.join(":"));
    }
    if found.maven {
        let _ = writeln!(
            out,
            "COPY --from=maven:3-eclipse-temurin-{jdk} /usr/share/maven /opt/maven\nRUN ln -s /opt/maven/bin/mvn /usr/local/bin/mvn"
        );
    }
    if found.gradle {
        let _ = writeln!(
            out,
            "COPY --from=gradle:jdk{jdk} /opt/gradle /opt/gradle\nRUN ln -s /opt/gradle/bin/gradle /usr/local/bin/gradle"
        );
    }
}

fn push_managers(out: &mut String, sources: &Sources, found: &Toolchains) {
    if let Some(version) = found
        .rust
        .as_ref()
        .filter(|_| ["rust-toolchain", "rust-toolchain.toml"].iter().any(|it| sources.has(it)))
    {
        let parts = if found.rust_parts.is_empty() {
            String::new()
        } else {
            format!(" {}", found.rust_parts.join(" "))
        };
        let _ = writeln!(
            out,
            "# Under the very name that the project asks for: rustup would fetch it at work otherwise.\n\
             RUN RUSTUP_HOME=/usr/local/rustup /usr/local/cargo/bin/rustup toolchain install {} --profile default{parts} \\\n \
             && chmod -R a+rwX /usr/local/rustup",
            version.number
        );
    }
    if !found.by_npm.is_empty() {
        let _ =
            writeln!(out, "RUN npm install --global {} && npm cache clean --force", found.by_npm.join(" "));
    }
    if !found.by_pip.is_empty() {
        let mut listed = found.by_pip.clone();
        listed.dedup();
        let _ = writeln!(out, "RUN pip install --no-cache-dir {}", listed.join(" "));
    }
}
