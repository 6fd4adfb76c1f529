//! Logs: JSON lines on stderr, text when stderr is a terminal.

use std::io::IsTerminal as _;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbosity {
    /// Warnings and errors.
    Quiet,
    /// What an operator wants to know.
    #[default]
    Normal,
    /// Each connection.
    Debug,
}

impl Verbosity {
    /// From the flags `-q` and `-v` of the command line.
    #[must_use]
    pub fn from_flags(quiet: bool, verbose: u8) -> Self {
        match (quiet, verbose) {
            (true, _) => Self::Quiet,
            (false, 0) => Self::Normal,
            (false, _) => Self::Debug,
        }
    }

    /// Libraries below us log field values at their debug levels, so they stay at warnings.
    fn filter(self) -> EnvFilter {
        let ours = match self {
            Self::Quiet => "bottle=warn",
            Self::Normal => "bottle=info",
            Self::Debug => "bottle=debug",
        };
        EnvFilter::builder().with_default_directive(LevelFilter::WARN.into()).parse_lossy(ours)
    }
}

/// Sends the logs of this process to stderr. A second call changes nothing.
pub fn start(verbosity: Verbosity) {
    let registry = tracing_subscriber::registry().with(verbosity.filter());
    let started = if std::io::stderr().is_terminal() {
        registry
            .with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false))
            .try_init()
    } else {
        let json = tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .with_target(false)
            .with_writer(std::io::stderr);
        registry.with(json).try_init()
    };
    // Only a test that starts two programs in one process comes here twice.
    drop(started);
}
