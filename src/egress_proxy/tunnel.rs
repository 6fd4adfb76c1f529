//! What is kept of a granted CONNECT.

use super::record::RequestRecord;
use crate::policy::Authority;
use crate::telemetry::audit::AuditSlot;
use std::sync::{Mutex, PoisonError};

/// A granted CONNECT: the authority that everything inside is held to.
pub struct TunnelState {
    pub(super) authority: Authority,
    pending: Mutex<Option<PendingAudit>>,
}

/// What becomes of the audit trail if no request ever comes.
pub(super) enum PendingAudit {
    /// Nothing: a route allows the host, and nothing is sent on. The slot serves another refusal of the tunnel.
    Slot(AuditSlot),
    /// A refusal, which is written when it is dropped: no route allows the host.
    Refusal(Box<RequestRecord>),
}

impl TunnelState {
    pub(super) fn new(authority: Authority, pending: PendingAudit) -> Self {
        Self { authority, pending: Mutex::new(Some(pending)) }
    }

    /// What is pending, to the first who asks: a failure, or the first request, which has a record of its own.
    pub(super) fn take_pending_audit(&self) -> Option<PendingAudit> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl AsRef<Authority> for TunnelState {
    fn as_ref(&self) -> &Authority {
        &self.authority
    }
}

impl PendingAudit {
    /// A request has come: its record tells of the host.
    pub(super) fn withdraw(self) {
        if let Self::Refusal(record) = self {
            record.withdraw();
        }
    }
}
