//! A network namespace for a run: an address that is no loopback address, and names in a hosts file of its own.

use crate::load::many_name;
use crate::place::{ADDRESS, HOST, Place};
use anyhow::{Context as _, ensure};
use fs_err as fs;
use std::{
    fmt::Write as _,
    path::Path,
    process::{Command, ExitStatus},
};

/// Runs this program again with `--inside FOLDER` and the same arguments, in namespaces of its own.
pub(crate) fn enter(folder: &Path) -> anyhow::Result<ExitStatus> {
    let mut command = Command::new("unshare");
    // Root keeps its numbers: files that `bottle render` gave to the services' user stay readable.
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--mount", "--net", "--"]).arg(std::env::current_exe()?);
    command.arg("--inside").arg(folder).args(std::env::args_os().skip(1));
    command.status().context("`unshare` of util-linux can't be started")
}

/// Prepares the namespace that this process is in.
pub(crate) fn prepare(place: &Place) -> anyhow::Result<()> {
    said("ip", &["link", "set", "lo", "up"])?;
    said("ip", &["address", "add", &format!("{ADDRESS}/32"), "dev", "lo"])?;
    // A client that opens connections as fast as it can keeps many ports in TIME_WAIT.
    fs::write("/proc/sys/net/ipv4/ip_local_port_range", "10000 65000")?;
    names(place, 0)?;
    let hosts = place.path("hosts").display().to_string();
    said("mount", &["--bind", &hosts, "/etc/hosts"])
}

/// The hosts that are known: the one that is measured, and so many others. The file stays the one that is mounted.
pub(crate) fn names(place: &Place, many: usize) -> anyhow::Result<()> {
    let mut text = format!("127.0.0.1 localhost\n{ADDRESS} {HOST}\n");
    for number in 0..many {
        writeln!(text, "{ADDRESS} {}", many_name(number))?;
    }
    Ok(fs::write(place.path("hosts"), text)?)
}

fn said(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let ran = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("{program} can't be started"))?;
    let what = format!("{program} {}", arguments.join(" "));
    ensure!(ran.status.success(), "`{what}` failed: {}", String::from_utf8_lossy(&ran.stderr).trim());
    Ok(())
}
