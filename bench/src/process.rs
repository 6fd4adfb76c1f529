//! Processes that are measured: started on one core, read from `/proc`, stopped by their id.

use anyhow::{Context as _, ensure};
use fs_err as fs;
use rustix::{
    process::{Pid, Signal, kill_process},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};
use std::{
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// How long a process may take to end once it was told to.
const GRACE: Duration = Duration::from_secs(5);

/// Which core does what. On a machine with one core everything shares it, and the figures say little.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    pub(crate) load: usize,
    pub(crate) proxies: usize,
}

impl Cores {
    /// The first two cores that this process may use.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
        let load = cores.next().context("this process may use no core")?;
        Ok(Self { load, proxies: cores.next().unwrap_or(load) })
    }
}

/// What this thread, and whatever it starts from now on, runs on.
pub(crate) fn pin(core: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}

/// A process that ends with this value.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts it on `core`; what it says goes to `log`.
    pub(crate) fn start(command: &mut Command, log: &std::path::Path, core: usize) -> anyhow::Result<Self> {
        let file = fs::OpenOptions::new().create(true).append(true).open(log)?;
        let errors = file.try_clone()?;
        command.stdin(Stdio::null()).stdout(file.into_file()).stderr(errors.into_file());
        let before = sched_getaffinity(None)?;
        pin(core)?;
        let started = command.spawn();
        sched_setaffinity(None, &before)?;
        let program = command.get_program().to_string_lossy().into_owned();
        Ok(Self { child: started.with_context(|| format!("{program} can't be started"))? })
    }

    /// That it runs still; what it said last is in the error.
    pub(crate) fn require_running(&mut self, log: &std::path::Path) -> anyhow::Result<()> {
        let ended = self.child.try_wait()?;
        ensure!(ended.is_none(), "it ended ({ended:?}): {}", tail(log));
        Ok(())
    }

    /// User and system time so far.
    pub(crate) fn processor(&self) -> anyhow::Result<Duration> {
        processor_time(&self.read("stat")?).context("no times in /proc/PID/stat")
    }

    /// Resident memory in KiB.
    pub(crate) fn memory(&self) -> anyhow::Result<u64> {
        resident(&self.read("status")?).context("no VmRSS in /proc/PID/status")
    }

    fn read(&self, file: &str) -> anyhow::Result<String> {
        Ok(fs::read_to_string(format!("/proc/{}/{file}", self.child.id()))?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let start = Instant::now();
        while start.elapsed() < GRACE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The end of a log.
pub(crate) fn tail(log: &std::path::Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join(" | ")
}

/// Fields 14 and 15 of `/proc/PID/stat` (proc(5)), in hundredths of a second. The name before them may hold anything.
fn processor_time(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    let ticks = fields.next()?.ok()? + fields.next()?.ok()?;
    Some(Duration::from_millis(ticks * 10))
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 96 0 0 0 150 50 9 9 20 0 1 0 8610695";
        assert_eq!(processor_time(stat), Some(Duration::from_secs(2)));
        assert_eq!(processor_time("7 (a) S 1"), None);
    }

    #[test]
    fn memory_is_what_is_resident() {
        assert_eq!(resident("VmPeak:\t  99 kB\nVmRSS:\t    1234 kB\n"), Some(1234));
        assert_eq!(resident("VmPeak:\t  99 kB\n"), None);
    }
}
