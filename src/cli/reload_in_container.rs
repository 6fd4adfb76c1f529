//! `bottle reload` inside a proxy's container: tells the proxy to read its config again, and reports whether it
//! was taken. From inside, because a signal through the engine's API disarms the container's restart policy.

use super::{Outcome, print};
use crate::telemetry::{client, status::Status};
use anyhow::{Context as _, bail};
use std::time::{Duration, Instant};

/// Reading and checking a config takes milliseconds; a proxy that needs this long is stuck.
const DEADLINE: Duration = Duration::from_secs(15);

/// Signals the runtime that serves this admin address, waits, and says how it went.
pub(crate) fn run(admin: &str) -> anyhow::Result<Outcome> {
    let before = status(admin)?;
    let pid = i32::try_from(before.pid).ok().and_then(rustix::process::Pid::from_raw);
    let pid = pid.with_context(|| format!("{admin} reports no process to signal"))?;
    rustix::process::kill_process(pid, rustix::process::Signal::HUP)
        .with_context(|| format!("can't signal process {}", before.pid))?;
    let after = wait(admin, before.reloads)?;
    if let Some(error) = after.last_error {
        print(&format!("refused, the config of generation {} stays: {error}\n", after.generation))?;
        return Ok(Outcome::Differs);
    }
    print(&format!("generation {} is live: config {}\n", after.generation, after.config))?;
    Ok(Outcome::Done)
}

fn status(admin: &str) -> anyhow::Result<Status> {
    let answer = client::get(&format!("http://{admin}/status"))?;
    serde_json::from_str(&answer.body).with_context(|| format!("{admin} is not an admin listener of bottle"))
}

fn wait(admin: &str, reloads_before: u64) -> anyhow::Result<Status> {
    let start = Instant::now();
    while start.elapsed() < DEADLINE {
        let now = status(admin)?;
        if now.reloads > reloads_before {
            return Ok(now);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("the proxy did not answer the signal within {} s; its log says more", DEADLINE.as_secs());
}
