//! The agent as the one child that counts, and the duties of a process 1: signals, orphans, the terminal, the exit code.

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, kill_process_group, wait};
use rustix::termios::{tcgetpgrp, tcsetpgrp};
use std::{ffi::OsString, io, process::Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

/// What is passed on to the agent: all that asks a program to end, and those that programs give a meaning of their own.
const FORWARDED: [Signal; 6] =
    [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2];

/// The agent, which runs.
#[derive(Debug)]
pub struct Agent {
    process: Pid,
    forwarding: JoinSet<()>,
    children: tokio::signal::unix::Signal,
}

/// The agent's program could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its program.
    #[error("can't start {program}: {error}. It is looked for in the agent's image")]
    Program {
        /// As it was given.
        program: String,
        /// What the kernel said.
        error: io::Error,
    },
    /// This process's own signals.
    #[error("can't wait for signals: {0}")]
    Signals(#[from] io::Error),
}

impl Agent {
    /// Starts it in a process group of its own, which is in the foreground of the terminal, where there is one.
    ///
    /// # Errors
    /// If there is no such program, or it can't be run.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(program: &OsString, arguments: &[OsString]) -> Result<Self, StartError> {
        use std::os::unix::process::CommandExt as _;
        // All of them before the agent is there: none is missed.
        let children = signal(SignalKind::child())?;
        let heard: Vec<_> = FORWARDED
            .into_iter()
            .map(|it| Ok((it, signal(SignalKind::from_raw(it.as_raw()))?)))
            .collect::<io::Result<_>>()?;
        let started = Command::new(program).args(arguments).process_group(0).spawn();
        let program = || program.display().to_string();
        let child = started.map_err(|error| StartError::Program { program: program(), error })?;
        let process = Pid::from_child(&child);
        // Without a terminal, or with one that is not the controlling one, there is nothing to give.
        let _ = tcsetpgrp(io::stdin(), process);
        let mut forwarding = JoinSet::new();
        for (number, mut signal) in heard {
            forwarding.spawn(async move {
                while signal.recv().await.is_some() {
                    let _ = kill_process(process, number); // it may have ended, and then this ends as well
                }
            });
        }
        Ok(Self { process, forwarding, children })
    }

    /// Waits for every process that becomes this one's child, until the agent has ended. Returns its exit code, or 128 and
    /// the number of the signal that ended it, as shells do.
    ///
    /// # Errors
    /// If the kernel says that there is no such child.
    pub async fn wait(mut self) -> io::Result<u8> {
        let code = loop {
            match self.reap()? {
                Some(code) => break code,
                None => self.children.recv().await,
            };
        };
        self.forwarding.shutdown().await;
        Ok(code)
    }

    fn reap(&self) -> io::Result<Option<u8>> {
        while let Some((process, status)) = wait(WaitOptions::NOHANG | WaitOptions::UNTRACED)? {
            if process == self.process {
                match exit_code(status) {
                    Some(code) => return Ok(Some(code)),
                    None => self.go_on(status)?,
                }
            }
        }
        Ok(None)
    }

    /// The agent was stopped. By its terminal, in whose foreground it is: there is no shell that could ever continue it, as
    /// after Ctrl-Z, or after it read before the terminal was its own. Who sent it SIGSTOP knows how to continue it.
    fn go_on(&self, status: WaitStatus) -> io::Result<()> {
        let by_terminal = [Signal::TSTP, Signal::TTIN, Signal::TTOU].map(Signal::as_raw);
        let stopped = status.stopping_signal().is_some_and(|it| by_terminal.contains(&it));
        if stopped && tcgetpgrp(io::stdin()) == Ok(self.process) {
            match kill_process_group(self.process, Signal::CONT) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Ok(())
    }
}

/// Nothing of a process that has not ended.
fn exit_code(status: WaitStatus) -> Option<u8> {
    let signal = status.terminating_signal().map(|it| it + 128);
    status.exit_status().or(signal).map(|code| u8::try_from(code).unwrap_or(u8::MAX))
}
