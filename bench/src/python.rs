//! mitmproxy, from the package index of Python, in an environment below `target`.

use anyhow::{Context as _, ensure};
use fs_err as fs;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/mitmproxy")
}

/// The program, where it is installed.
pub(crate) fn mitmdump() -> Option<PathBuf> {
    Some(folder().join("bin/mitmdump")).filter(|program| program.exists())
}

/// Installs it if it is not there yet.
pub(crate) fn install() -> anyhow::Result<()> {
    if mitmdump().is_some() {
        return Ok(());
    }
    let folder = folder();
    eprintln!("mitmproxy is installed in {}", folder.display());
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    ran(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    ran(Command::new(folder.join("bin/pip")).args(["install", "--quiet", "mitmproxy"]))
}

fn ran(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let ran = command.stdin(Stdio::null()).output().with_context(|| format!("{name} can't be started"))?;
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    ensure!(ran.status.success(), "{name} failed: {}", said.lines().last().unwrap_or_default());
    Ok(())
}
