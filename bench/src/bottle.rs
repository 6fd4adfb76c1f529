//! bottle's configuration: a manifest that `bottle render` compiles, and of what it writes the places changed to those
//! of this machine. The rules stay as they were rendered.

use crate::place::{HOST, MANY, NEXT_HOP, Place, TOKEN, TOKEN_REF, local};
use anyhow::{Context as _, ensure};
use fs_err as fs;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What is allowed; the peers' handlers say the same.
fn manifest() -> String {
    format!(
        "version: 1
name: bench
agent:
  image: agent:local
  command: [sleep, infinity]
egress_proxy:
  routes:
    - host: {HOST}
      path_allowlist: [/v1]
      methods: [GET, POST]
      auth: {{ scheme: Bearer, token_ref: {TOKEN_REF} }}
      addresses: [10.99.7.0/24]
      reason: what is measured
    - host: \"*.{MANY}\"
      methods: [GET]
      addresses: [10.99.7.0/24]
      reason: many hosts
egress:
  network: bench-origin
pipelock:
  extra_ca: ./origin-ca.pem
lints:
  allow:
    - {{ code: floating-image, reason: it is never started }}
    - {{ code: wildcard-host, reason: they are all the origin }}
"
    )
}

/// Renders the manifest in the folder of the run.
pub(crate) fn render(place: &Place, bottle: &Path) -> anyhow::Result<()> {
    fs::write(place.path("project/bottle.yaml"), manifest())?;
    fs::write(place.path(TOKEN_REF), format!("{TOKEN}\n"))?;
    let ran = Command::new(bottle)
        .current_dir(place.path("project"))
        .args(["render", "--accept-widening", "--image-binary"])
        .arg(bottle)
        .arg("--state")
        .arg(place.path("state"))
        .arg("--out")
        .arg(place.path("tree"))
        // Nothing of this run is left in the registry of this machine.
        .env("XDG_STATE_HOME", place.path("home"))
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{} can't be started", bottle.display()))?;
    ensure!(ran.status.success(), "`bottle render` failed: {}", String::from_utf8_lossy(&ran.stderr));
    Ok(())
}

/// The version that a program says.
pub(crate) fn version(program: &Path) -> anyhow::Result<String> {
    let ran = Command::new(program).arg("--version").stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&ran.stdout);
    Ok(said.lines().next().unwrap_or_default().trim().to_owned())
}

/// The CA that clients of both trust.
pub(crate) fn agent_ca(place: &Place) -> PathBuf {
    place.path("state/egress-proxy/agent-ca.pem")
}

/// egress-proxy alone. Its next hop is the origin, which it verifies as it would verify pipelock.
pub(crate) fn proxy(place: &Place, bottle: &Path, listen: &str) -> anyhow::Result<Vec<Command>> {
    let changes = Egress {
        listen: listen.to_owned(),
        admin: local(9102),
        next: NEXT_HOP.to_string(),
        next_ca: place.origin_ca(),
    };
    let config = changes.write(place, "proxy-routes.yaml")?;
    Ok(vec![egress_proxy(place, bottle, &config, "proxy-audit")?])
}

/// The whole way out, between sockets as in a stack.
pub(crate) fn chain(place: &Place, bottle: &Path, listen: &str) -> anyhow::Result<Vec<Command>> {
    let socket = |name: &str| format!("unix:{}", place.path(name).display());
    let changes = Egress {
        listen: socket("egress.sock"),
        admin: local(9103),
        next: socket("pipelock.sock"),
        next_ca: place.path("state/egress-proxy/pipelock-ca.pem"),
    };
    let config = changes.write(place, "chain-routes.yaml")?;
    let mut gate = Command::new(bottle);
    gate.arg("gate").arg("--relay").arg(format!("{listen}={}", socket("egress.sock")));
    Ok(vec![
        pipelock(place, bottle, &socket("pipelock.sock"))?,
        egress_proxy(place, bottle, &config, "chain-audit")?,
        gate,
    ])
}

fn egress_proxy(place: &Place, bottle: &Path, config: &Path, audit: &str) -> anyhow::Result<Command> {
    let audit = folder(place, audit)?;
    let mut command = Command::new(bottle);
    command.args(["egress-proxy", "run", "--config"]).arg(config).arg("--audit-dir").arg(audit);
    Ok(command)
}

fn pipelock(place: &Place, bottle: &Path, listen: &str) -> anyhow::Result<Command> {
    let state = |name: &str| place.path("state/pipelock").join(name).display().to_string();
    let config = place.path("pipelock.yaml");
    let mut file = Rendered::read(&place.path("tree/pipelock/pipelock.yaml"))?;
    file.set("ca_cert", &state("pipelock-ca.pem"))?;
    file.set("ca_key", &state("pipelock-ca-key.pem"))?;
    // One client asks one host here, a hundred times as often as an agent does.
    file.set("max_requests_per_minute", "1000000000")?;
    fs::write(&config, file.text)?;
    let embedded = place.path("embedded.yaml");
    let mut file = Rendered::read(&place.path("tree/pipelock/embedded.yaml"))?;
    file.set("listen", listen)?;
    file.set("admin", &quoted(local(9104)))?;
    file.set("extra_ca_file", &place.origin_ca().display().to_string())?;
    fs::write(&embedded, file.text)?;
    let audit = folder(place, "pipelock-audit")?;
    let mut command = Command::new(bottle);
    command.args(["pipelock", "run", "--config"]).arg(config).arg("--embedded").arg(embedded);
    command.arg("--audit-dir").arg(audit);
    Ok(command)
}

fn folder(place: &Place, name: &str) -> anyhow::Result<PathBuf> {
    let folder = place.path(name);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// What is another for each egress-proxy.
struct Egress {
    listen: String,
    admin: SocketAddr,
    next: String,
    next_ca: PathBuf,
}

impl Egress {
    fn write(&self, place: &Place, name: &str) -> anyhow::Result<PathBuf> {
        let path = |path: PathBuf| path.display().to_string();
        let mut file = Rendered::read(&place.path("tree/egress-proxy/routes.yaml"))?;
        file.set("listen", &quoted(&self.listen))?;
        file.set("admin", &quoted(self.admin))?;
        file.set("proxy", &quoted(&self.next))?;
        file.set("ca_file", &path(self.next_ca.clone()))?;
        file.set("extra_ca_file", &path(place.origin_ca()))?;
        file.set("cert_file", &path(agent_ca(place)))?;
        file.set("key_file", &path(place.path("state/egress-proxy/agent-ca-key.pem")))?;
        file.set("secret_file", &path(place.path(TOKEN_REF)))?;
        let written = place.path(name);
        fs::write(&written, file.text)?;
        Ok(written)
    }
}

fn quoted(value: impl std::fmt::Display) -> String {
    format!("\"{value}\"")
}

/// A configuration as it was rendered.
struct Rendered {
    path: PathBuf,
    text: String,
}

impl Rendered {
    /// Without its first line: the digest there is that of the file as it was.
    fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path)?;
        let rest = text
            .split_once('\n')
            .filter(|(first, _)| first.starts_with('#'))
            .map(|(_, rest)| rest.to_owned());
        Ok(Self { path: path.to_owned(), text: rest.unwrap_or(text) })
    }

    /// Gives another value to a key; the first of its name that is outermost.
    fn set(&mut self, key: &str, value: &str) -> anyhow::Result<()> {
        let start = format!("{key}: ");
        let depth = |line: &String| line.len() - line.trim_start().len();
        let mut lines: Vec<String> = self.text.lines().map(str::to_owned).collect();
        let found = lines.iter_mut().filter(|line| line.trim_start().starts_with(&start));
        let found = found.min_by_key(|line| depth(line));
        let found = found.with_context(|| format!("{} has no `{key}`", self.path.display()))?;
        *found = format!("{}{start}{value}", &found[..depth(found)]);
        self.text = lines.join("\n") + "\n";
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str) -> Rendered {
        Rendered { path: PathBuf::from("a.yaml"), text: text.to_owned() }
    }

    #[test]
    fn the_outermost_key_gets_the_value() {
        let mut file = rendered("a:\n  listen: x\nlisten: y\nb: listen\n");
        file.set("listen", "z").unwrap();
        assert_eq!(file.text, "a:\n  listen: x\nlisten: z\nb: listen\n");
    }

    #[test]
    fn a_key_that_is_not_there_is_an_error() {
        assert_eq!(rendered("a: b\n").set("listen", "z").unwrap_err().to_string(), "a.yaml has no `listen`");
    }
}
