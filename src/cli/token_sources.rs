//! Where the values of tokens come from: files that are named on the command line, this process's environment, and what
//! the person's own configuration says. That configuration lies where no agent can write; a manifest names no source.

use super::folders::{absolute, real, registry};
use crate::tree::read_plain;
use crate::yaml;
use anyhow::{Context as _, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::process::Stdio;
use zeroize::Zeroizing;

/// How the configuration is called in messages.
pub(super) const CONFIG: &str = "~/.config/bottle/config.yaml";
/// Bytes of a configuration, of a file of variables and of a token.
const LARGEST: u64 = 1 << 20;

/// The value of a token; wiped when dropped, never shown.
#[derive(Clone)]
pub(crate) struct TokenValue(Zeroizing<String>);

impl TokenValue {
    /// The bytes as they were found.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for TokenValue {
    fn from(value: String) -> Self {
        Self(value.into())
    }
}

impl std::fmt::Debug for TokenValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenValue")
    }
}

/// Which files hold token values.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct TokenArgs {
    /// A file with a line NAME=VALUE for each token; it comes before the environment; repeatable
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<Utf8PathBuf>,
}

/// `config.yaml`, whole.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    token_refs: BTreeMap<String, Source>,
}

/// Where one token is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Source {
    /// What a program prints.
    Command(Vec<String>),
    /// What a file holds: absolute, or below the home folder with `~/`.
    File(Utf8PathBuf),
}

/// The sources of one start.
#[derive(Debug)]
pub(super) struct TokenSources {
    /// Name → value and the file that has it; the last file that names it counts.
    files: BTreeMap<String, (TokenValue, Utf8PathBuf)>,
    config: Config,
}

impl TokenSources {
    /// Reads the files that are named, which no agent must see, and the configuration, where there is one.
    pub(super) fn open(args: &TokenArgs) -> anyhow::Result<Self> {
        let mut files = BTreeMap::new();
        for file in &args.env_file {
            require_unseen(file)?;
            let text =
                Zeroizing::new(String::from_utf8(read_plain(file, LARGEST)?).ok().with_context(|| {
                    format!("{file} is not UTF-8; a file of variables has a line NAME=VALUE for each")
                })?);
            let says = |line: &&str| !line.is_empty() && !line.starts_with('#');
            for (number, line) in text.lines().map(str::trim).enumerate().filter(|(_, line)| says(line)) {
                let (name, value) = variable(line).with_context(|| {
                    format!("{file}:{}: this line is not NAME=VALUE, a comment or empty", number + 1)
                })?;
                files.insert(name.to_owned(), (value.to_owned().into(), file.clone()));
            }
        }
        Ok(Self { files, config: config()? })
    }

    /// The value, and where it was found; nothing where no source knows the name.
    pub(super) fn value(&self, name: &str) -> anyhow::Result<Option<(TokenValue, String)>> {
        if let Some((value, file)) = self.files.get(name) {
            return Ok(Some((value.clone(), file.to_string())));
        }
        match (std::env::var(name), self.config.token_refs.get(name)) {
            (Ok(value), _) => Ok(Some((value.into(), "the environment".to_owned()))),
            (Err(std::env::VarError::NotUnicode(_)), _) => {
                bail!("{name}, from the environment, is not UTF-8")
            }
            (Err(_), None) => Ok(None),
            (Err(_), Some(source)) => {
                let (value, place) =
                    source.read().with_context(|| format!("{name}, as {CONFIG} names it"))?;
                Ok(Some((value, place)))
            }
        }
    }
}

impl Source {
    fn read(&self) -> anyhow::Result<(TokenValue, String)> {
        match self {
            Self::File(path) => {
                let path = match path.strip_prefix("~") {
                    Ok(below) => home()?.join(below),
                    Err(_) => path.clone(),
                };
                ensure!(path.is_absolute(), "{path} is not absolute; write a path that begins with / or ~/");
                require_unseen(&path)?;
                let text = String::from_utf8(read_plain(&path, LARGEST)?).ok().context("it is not UTF-8")?;
                Ok((text.into(), path.into_string()))
            }
            Self::Command(words) => {
                let (program, arguments) = words.split_first().context("the command is empty")?;
                let is_bare = !program.contains('/');
                ensure!(
                    is_bare || Utf8Path::new(program).is_absolute(),
                    "{program} is relative, and the current folder is often a project; write a path that begins with /"
                );
                let mut command = crate::programs::command(program);
                command.args(arguments).stdout(Stdio::piped());
                // Its questions and complaints are the person's to see.
                let mut child = command.spawn().with_context(|| format!("{program} can't be run"))?;
                let mut text = TokenValue::from(String::new());
                if let Some(output) = child.stdout.take() {
                    let read = output.take(LARGEST).read_to_string(&mut text.0);
                    read.with_context(|| format!("what {program} prints is no text"))?;
                }
                let status = child.wait()?;
                ensure!(status.success(), "{program} failed ({status})");
                Ok((text, format!("the command {program}")))
            }
        }
    }
}

/// `NAME=VALUE`, with `export ` before it and quotes around the value or not.
fn variable(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let quoted = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    let fits = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    fits.then_some((name, quoted.unwrap_or(value)))
}

/// A file of tokens that an agent sees, of whatever bottle, is no place for them.
fn require_unseen(file: &Utf8Path) -> anyhow::Result<()> {
    let (path, registry) = (real(&absolute(file)?), registry()?);
    if let Some((place, bottle)) = registry.mounted_at(&path).find(|(place, _)| path.starts_with(place)) {
        bail!(
            "the agent of {} reads {file}, since {place} is mounted there: keep tokens where none does, for instance in \
             ~/.config/bottle",
            bottle.manifest
        );
    }
    Ok(())
}

/// The person's own configuration; an empty one where there is none.
fn config() -> anyhow::Result<Config> {
    let folder = match std::env::var("XDG_CONFIG_HOME").map(Utf8PathBuf::from) {
        Ok(folder) if folder.is_absolute() => folder,
        _ => home()?.join(".config"),
    };
    let file = folder.join("bottle/config.yaml");
    if file.symlink_metadata().is_err() {
        return Ok(Config::default());
    }
    if let Some(writer) = registry()?.writer_of(&real(&folder.join("bottle"))) {
        bail!("{file} is not read: the agent of {} can write there", writer.manifest);
    }
    if crate::programs::is_left_out(file.as_std_path()) {
        bail!(
            "{file} is not read, since it lies in a project: it names programs that run here; keep it in ~/.config/bottle"
        );
    }
    let text = read_plain(&file, LARGEST)?;
    let document = yaml::parse(&text, yaml::Limits::default()).map_err(|problems| {
        anyhow::anyhow!("{file}: {}", problems.first().map(ToString::to_string).unwrap_or_default())
    })?;
    serde_json::from_value(document.value).with_context(|| {
        format!("{file} is not of the form token_refs: {{NAME: {{command: [PROGRAM, …]}}}} or {{NAME: {{file: PATH}}}}")
    })
}

fn home() -> anyhow::Result<Utf8PathBuf> {
    std::env::var("HOME").map(Utf8PathBuf::from).context("HOME is not set")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_file_of_variables_is_read_as_shells_and_compose_write_it() {
        for (line, pair) in [
            ("A=b", ("A", "b")),
            ("export A_1 = 'b c'", ("A_1", "b c")),
            ("A=\"b#c\"", ("A", "b#c")),
            ("A=b=c", ("A", "b=c")),
            ("A=", ("A", "")),
            ("A='", ("A", "'")),
        ] {
            assert_eq!(variable(line), Some(pair), "{line}");
        }
        for bad in ["A", "A B=c", "=b", "${A}=b"] {
            assert_eq!(variable(bad), None, "{bad}");
        }
    }
}
