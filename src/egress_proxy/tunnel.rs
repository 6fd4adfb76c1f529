//! What is kept of a granted CONNECT.

use crate::policy::Authority;
use crate::telemetry::audit::Place;
use std::sync::{Mutex, PoisonError};

/// A granted CONNECT: the authority that everything inside is held to.
pub(super) struct Opened {
    pub(super) authority: Authority,
    /// The place of the record that is written if no request ever comes.
    place: Mutex<Option<Place>>,
}

impl Opened {
    pub(super) fn new(authority: Authority, place: Place) -> Self {
        Self { authority, place: Mutex::new(Some(place)) }
    }

    /// The place, to the first who asks: a failure, or the first request, which frees it.
    pub(super) fn take_place(&self) -> Option<Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
