//! The terminal UI on a terminal: draws, reads keys, and leaves the terminal as it found it on every end.

use super::screen::{Action, Chosen, Screen};
use super::{Args, View, views};
use crate::cli::{Globals, Outcome, approve, reject, say, sinks};
use ratatui::crossterm::event::{self, Event};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How often a key and a signal are looked for, and the bottles.
const KEYS: Duration = Duration::from_millis(100);
const LOOK: Duration = Duration::from_secs(2);

/// Cooked again when it is dropped, also where something panics.
struct Raw(ratatui::DefaultTerminal);

impl Raw {
    fn begin() -> std::io::Result<Self> {
        Ok(Self(ratatui::try_init()?))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Until a person leaves, or the process is told to end.
pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let ends = Ends::watch()?;
    // Nothing but the screen is written while it is shown.
    let quiet = Globals { quiet: true, ..globals.clone() };
    let (wake, looked) = look(args.clone(), quiet.clone());
    let mut screen = Screen::default();
    let mut raw = Raw::begin()?;
    loop {
        match looked.try_recv() {
            Ok(Ok(views)) => screen.update(views),
            Ok(Err(error)) => screen.note(&format!("{error:#}")),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => anyhow::bail!("what looks at the bottles ended"),
        }
        raw.0.draw(|frame| screen.draw(frame))?;
        if ends.told() {
            return Ok(Outcome::Done);
        }
        if !event::poll(KEYS)? {
            continue;
        }
        let Event::Key(key) = event::read()? else { continue };
        let Some(action) = screen.key(key) else { continue };
        match action {
            Action::Quit => return Ok(Outcome::Done),
            Action::Reject(Chosen { project, id }, reason) => {
                let done = reject::run(&reject::Args::of(&project, id.clone(), reason), &quiet);
                screen.note(&done.map_or_else(|error| format!("{error:#}"), |_| format!("{id} is rejected")));
            }
            Action::Approve(chosen) => raw = aside(raw, &ends, &approving(args, chosen, false), globals)?,
            Action::Modify(chosen) => raw = aside(raw, &ends, &approving(args, chosen, true), globals)?,
        }
        // A look that is due already is soon enough.
        let _ = wake.try_send(());
    }
}

fn approving(args: &Args, Chosen { project, id }: Chosen, edit: bool) -> approve::Args {
    approve::Args::of(&project, id, edit, args.image_binary.clone())
}

/// The verb as it is on a terminal: it shows the edit and what that lets the agent do, and asks.
fn aside(raw: Raw, ends: &Ends, args: &approve::Args, globals: &Globals) -> anyhow::Result<Raw> {
    drop(raw);
    ends.leave_to_the_system(true);
    if let Err(error) = approve::run(args, globals) {
        sinks::say_error(&error, globals);
    }
    say("\nEnter: back to the dashboard ");
    let mut typed = String::new();
    std::io::stdin().read_line(&mut typed)?;
    ends.leave_to_the_system(false);
    Ok(Raw::begin()?)
}

/// Looks at the bottles in the background: it takes longer than a key may.
fn look(args: Args, globals: Globals) -> (SyncSender<()>, Receiver<anyhow::Result<Vec<View>>>) {
    let (wake, woken) = sync_channel::<()>(1);
    let (tell, looked) = sync_channel(1);
    thread::spawn(move || {
        loop {
            if tell.send(views(&args, &globals)).is_err() {
                return;
            }
            if woken.recv_timeout(LOOK) == Err(std::sync::mpsc::RecvTimeoutError::Disconnected) {
                return;
            }
        }
    });
    (wake, looked)
}

/// SIGTERM and SIGHUP: the terminal is given back first.
struct Ends {
    told: Arc<AtomicBool>,
    /// No screen is shown, so that there is nothing to give back.
    at_once: Arc<AtomicBool>,
}

impl Ends {
    fn watch() -> anyhow::Result<Self> {
        let ends = Self { told: Arc::default(), at_once: Arc::default() };
        let (told, at_once) = (Arc::clone(&ends.told), Arc::clone(&ends.at_once));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (mut term, mut hup) = {
            let _in = runtime.enter();
            (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?)
        };
        thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! { _ = term.recv() => {}, _ = hup.recv() => {} }
            });
            if at_once.load(Ordering::SeqCst) {
                std::process::exit(143);
            }
            told.store(true, Ordering::SeqCst);
        });
        Ok(ends)
    }

    fn told(&self) -> bool {
        self.told.load(Ordering::SeqCst)
    }

    fn leave_to_the_system(&self, at_once: bool) {
        self.at_once.store(at_once, Ordering::SeqCst);
    }
}
