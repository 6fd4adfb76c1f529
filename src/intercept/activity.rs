//! Whether anything is in flight on a connection, and since when nothing is.

use std::sync::{Arc, Mutex, PoisonError};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

/// Counts what is in flight on one connection. Clones count together.
#[derive(Clone, Debug)]
pub(super) struct Activity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    in_flight: usize,
    idle_since: Instant,
}

/// One thing in flight, until it is dropped.
#[derive(Debug)]
pub(super) struct InFlight {
    activity: Activity,
    permit: Option<OwnedSemaphorePermit>,
}

impl InFlight {
    /// The same, with a permit that goes back when it is over.
    pub(super) fn holding(mut self, permit: OwnedSemaphorePermit) -> Self {
        self.permit = Some(permit);
        self
    }
}

impl Activity {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State { in_flight: 0, idle_since: Instant::now() })))
    }

    /// Something began.
    pub(super) fn begin(&self) -> InFlight {
        self.with(|state| state.in_flight += 1);
        InFlight { activity: self.clone(), permit: None }
    }

    /// Since when nothing is in flight; `None` while something is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.with(|state| (state.in_flight == 0).then_some(state.idle_since))
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.activity.with(|state| {
            state.in_flight -= 1;
            if state.in_flight == 0 {
                state.idle_since = Instant::now();
            }
        });
    }
}
