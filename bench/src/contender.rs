//! What is compared, and how each is started.

use crate::bottle;
use crate::client::Dialer;
use crate::place::{HOST, Place, TOKEN, local};
use crate::process::{Cores, Process};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The client speaks with the origin.
    Direct,
    /// A bare relay between two TLS connections.
    Floor,
    /// egress-proxy alone; the origin is its next hop.
    BottleProxy,
    /// gate, egress-proxy and pipelock's engine.
    BottleChain,
    Hudsucker,
    Mitmproxy,
}

impl Kind {
    /// In the order of the table.
    pub(crate) const ALL: [Self; 6] =
        [Self::Direct, Self::Floor, Self::BottleProxy, Self::BottleChain, Self::Hudsucker, Self::Mitmproxy];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Floor => "floor",
            Self::BottleProxy => "bottle-proxy",
            Self::BottleChain => "bottle-chain",
            Self::Hudsucker => "hudsucker",
            Self::Mitmproxy => "mitmproxy",
        }
    }

    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::name).join(", ");
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| format!("one of {}", names()))
    }

    /// Where its clients connect; nowhere but at the origin: `None`.
    fn entry(self) -> Option<SocketAddr> {
        let port = match self {
            Self::Direct => return None,
            Self::Floor => 9001,
            Self::BottleProxy => 9002,
            Self::BottleChain => 9003,
            Self::Hudsucker => 9004,
            Self::Mitmproxy => 9005,
        };
        Some(local(port))
    }

    /// Whether the many hosts are on its list.
    pub(crate) fn knows_many_hosts(self) -> bool {
        matches!(self, Self::BottleProxy | Self::BottleChain)
    }
}

/// The programs that are no part of this one.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) bottle: PathBuf,
    pub(crate) mitmdump: Option<PathBuf>,
}

/// One contender, running.
pub(crate) struct Contender {
    pub(crate) kind: Kind,
    pub(crate) dialer: Dialer,
    log: PathBuf,
    processes: Vec<Process>,
}

impl Contender {
    pub(crate) fn start(
        kind: Kind,
        place: &Place,
        programs: &Programs,
        cores: Cores,
    ) -> anyhow::Result<Self> {
        let log = place.path(&format!("{}.log", kind.name()));
        let mut processes = Vec::new();
        for mut command in commands(kind, place, programs)? {
            processes.push(Process::start(&mut command, &log, cores.proxies)?);
        }
        let (ca, credential) = match kind {
            Kind::Direct => (place.origin_ca(), TOKEN),
            // It reads no HTTP.
            Kind::Floor => (place.peer_ca(), TOKEN),
            Kind::Hudsucker => (place.peer_ca(), "placeholder"),
            Kind::BottleProxy | Kind::BottleChain => (bottle::agent_ca(place), "placeholder"),
            Kind::Mitmproxy => (place.path("mitmproxy/mitmproxy-ca-cert.pem"), "placeholder"),
        };
        let dialer = Dialer::new(kind.entry(), &ca, credential);
        Ok(Self { kind, dialer, log, processes })
    }

    pub(crate) fn require_running(&mut self) -> anyhow::Result<()> {
        self.processes.iter_mut().try_for_each(|process| process.require_running(&self.log))
    }

    /// User and system time of all its processes, in microseconds.
    pub(crate) fn processor(&self) -> anyhow::Result<f64> {
        let times = self.processes.iter().map(Process::processor).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(times.iter().map(|time| time.as_secs_f64() * 1e6).sum())
    }

    /// Resident memory of each of its processes, in KiB.
    pub(crate) fn memory(&self) -> anyhow::Result<Vec<u64>> {
        self.processes.iter().map(Process::memory).collect()
    }
}

fn commands(kind: Kind, place: &Place, programs: &Programs) -> anyhow::Result<Vec<Command>> {
    let entry = kind.entry();
    let own = |role: &str| -> anyhow::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(role).arg("--folder").arg(&place.folder);
        if let Some(entry) = entry {
            command.arg("--listen").arg(entry.to_string());
        }
        Ok(command)
    };
    let address = entry.map(|it| it.to_string()).unwrap_or_default();
    Ok(match kind {
        Kind::Direct => Vec::new(),
        Kind::Floor => vec![own("floor")?],
        Kind::Hudsucker => vec![own("hudsucker")?],
        Kind::BottleProxy => bottle::proxy(place, &programs.bottle, &address)?,
        Kind::BottleChain => bottle::chain(place, &programs.bottle, &address)?,
        Kind::Mitmproxy => programs.mitmdump.iter().map(|it| mitmdump(place, it, entry)).collect(),
    })
}

fn mitmdump(place: &Place, program: &Path, entry: Option<SocketAddr>) -> Command {
    let mut command = Command::new(program);
    let set = |key: &str, value: &Path| format!("{key}={}", value.display());
    let addon = Path::new(env!("CARGO_MANIFEST_DIR")).join("mitmproxy_addon.py");
    command.arg("--quiet").arg("--listen-host").arg("127.0.0.1");
    command.arg("--listen-port").arg(entry.map_or(0, |it| it.port()).to_string());
    command.arg("--scripts").arg(addon);
    command.arg("--set").arg(set("confdir", &place.path("mitmproxy")));
    command.arg("--set").arg(set("ssl_verify_upstream_trusted_ca", &place.origin_ca()));
    command.env("BENCH_HOST", HOST).env("BENCH_TOKEN", TOKEN);
    command
}
