//! Whom the next hop may be believed to be, decided for each host: an inspected host is verified against the CA
//! of pipelock and nothing else, a passed-through host against the public roots (and `extra_ca`) and nothing else.

use crate::clock::Clock;
use crate::config::ProxyAddress;
use crate::config::routes::RoutesFile;
use crate::intercept::{Roots, TrustError};
use rustls::ClientConfig;
use std::{sync::Arc, time::Duration};

/// The way out of one generation: the next hop, and how each kind of host is verified there.
#[derive(Debug)]
pub(super) struct Trust {
    pub(super) generation: u64,
    pub(super) proxy: ProxyAddress,
    pub(super) connect_timeout: Duration,
    inspected: Arc<ClientConfig>,
    passed_through: Arc<ClientConfig>,
}

impl Trust {
    pub(super) fn load(file: &RoutesFile, generation: u64, clock: &Clock) -> Result<Self, TrustError> {
        let passed_through = match &file.upstream.extra_ca_file {
            Some(path) => Roots::public().and_file(path)?,
            None => Roots::public(),
        };
        let inspected = match &file.upstream.ca_file {
            Some(path) => Roots::none().and_file(path)?,
            None => Roots::public(),
        };
        Ok(Self {
            generation,
            proxy: file.upstream.proxy.clone(),
            connect_timeout: Duration::from_secs(file.limits.connect_seconds.into()),
            inspected: inspected.client(clock)?,
            passed_through: passed_through.client(clock)?,
        })
    }

    pub(super) fn client(&self, inspected: bool) -> Arc<ClientConfig> {
        Arc::clone(if inspected { &self.inspected } else { &self.passed_through })
    }
}
