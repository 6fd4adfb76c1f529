//! One run: every contender is started, and then each round goes through all loads and, for each load, through all
//! contenders, so that whatever else happens on the machine happens to all of them.

use crate::client::{Connection, Dialer, Protocol};
use crate::contender::{Contender, Kind, Programs};
use crate::figures::{Figures, Metric, quantile};
use crate::load::{self, Tally, Way};
use crate::namespace;
use crate::place::{COUNTS, Place};
use crate::process::{Cores, Process};
use anyhow::Context as _;
use std::{
    process::Command,
    time::{Duration, Instant},
};
use tokio::{io::AsyncReadExt as _, net::TcpStream, time::sleep};

/// How long a contender may take until it answers.
const START: Duration = Duration::from_secs(30);
/// How many requests are under way at a time.
pub(crate) const AT_ONCE: usize = 16;
/// Connections of HTTP/2; the requests share them.
pub(crate) const HTTP2_CONNECTIONS: usize = 4;
/// What one long body has, in MiB. pipelock reads 32 MiB of a body that goes up and no more.
pub(crate) const DOWN: u64 = 32;
pub(crate) const UP: u64 = 16;
/// At low load a request comes that often.
pub(crate) const PAUSE: Duration = Duration::from_millis(5);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) rounds: usize,
    pub(crate) period: Duration,
    pub(crate) hosts: usize,
    pub(crate) tunnels: usize,
}

pub(crate) struct Run<'a> {
    pub(crate) place: &'a Place,
    pub(crate) programs: &'a Programs,
    pub(crate) settings: Settings,
    pub(crate) cores: Cores,
    pub(crate) figures: Figures,
}

#[derive(Clone, Copy)]
enum Load {
    Http1,
    Http2,
    New,
    Down,
    Up,
    Low,
    Events,
}

impl Run<'_> {
    pub(crate) async fn all(&mut self, kinds: &[Kind]) -> anyhow::Result<()> {
        let _origin = self.origin().await?;
        let mut running = Vec::new();
        for attempt in 1..=self.settings.rounds {
            for &kind in kinds {
                if self.figures.left_out.iter().any(|(name, _)| *name == kind.name()) {
                    continue;
                }
                match self.start(kind).await {
                    Ok(contender) if attempt == self.settings.rounds => running.push(contender),
                    Ok(_) => {}
                    Err(error) => self.figures.left_out.push((kind.name(), format!("{error:#}"))),
                }
            }
        }
        for contender in &running {
            self.idle(contender).await?;
        }
        for round in 1..=self.settings.rounds {
            for load in [Load::Http1, Load::Http2, Load::New, Load::Down, Load::Up, Load::Low, Load::Events] {
                for contender in &running {
                    self.load(contender, load).await;
                }
            }
            eprintln!("round {round} of {} is done", self.settings.rounds);
        }
        self.many_hosts(&running).await?;
        for contender in &mut running {
            contender.require_running()?;
            let memory = mib(&contender.memory()?);
            if contender.kind != Kind::Direct {
                self.figures.add(contender.kind, Metric::MemoryLoaded, memory.iter().sum());
            }
        }
        Ok(())
    }

    async fn origin(&self) -> anyhow::Result<Process> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("origin").arg("--folder").arg(&self.place.folder);
        let log = self.place.path("origin.log");
        let mut origin = Process::start(&mut command, &log, self.cores.load)?;
        let start = Instant::now();
        while opened_at_origin().await.is_err() {
            origin.require_running(&log)?;
            anyhow::ensure!(start.elapsed() < START, "the origin does not answer");
            sleep(Duration::from_millis(5)).await;
        }
        Ok(origin)
    }

    /// Starts one and waits for its first answer, which is a stream of events.
    async fn start(&mut self, kind: Kind) -> anyhow::Result<Contender> {
        let start = Instant::now();
        let mut contender = Contender::start(kind, self.place, self.programs, self.cores)?;
        let first = loop {
            match first_answer(&contender.dialer).await {
                Ok(first) => break first,
                Err(error) => {
                    contender.require_running()?;
                    if start.elapsed() > START {
                        return Err(error.context("it does not answer"));
                    }
                    sleep(Duration::from_millis(1)).await;
                }
            }
        };
        if kind != Kind::Direct {
            self.figures.add(kind, Metric::Ready, start.elapsed().as_secs_f64() * 1e3);
        }
        self.figures.add(kind, Metric::SseFirstHead, first.head);
        Ok(contender)
    }

    /// Memory before the load, and what an idle tunnel adds.
    async fn idle(&mut self, contender: &Contender) -> anyhow::Result<()> {
        if contender.kind == Kind::Direct {
            return Ok(());
        }
        let before = mib(&contender.memory()?);
        let largest = before.iter().copied().fold(0.0, f64::max);
        let sum: f64 = before.iter().sum();
        self.figures.add(contender.kind, Metric::Memory, sum);
        self.figures.add(contender.kind, Metric::MemoryLargest, largest);
        match load::warm(&contender.dialer, Protocol::Http1, self.settings.tunnels).await {
            Ok(tunnels) => {
                let more = mib(&contender.memory()?).iter().sum::<f64>() - sum;
                self.figures.add(contender.kind, Metric::Tunnel, more * 1024.0 / count(tunnels.len()));
            }
            Err(error) => self.failed(contender.kind, "idle tunnels", &error),
        }
        Ok(())
    }

    fn failed(&mut self, kind: Kind, what: &str, error: &anyhow::Error) {
        self.figures.add(kind, Metric::Failed, 1.0);
        self.figures.errors.push(format!("{}, {what}: {error:#}", kind.name()));
    }

    async fn load(&mut self, contender: &Contender, load: Load) {
        let (kind, dialer, period) = (contender.kind, &contender.dialer, self.settings.period);
        let protocol = if matches!(load, Load::Http2) { Protocol::Http2 } else { Protocol::Http1 };
        let connections = match load {
            Load::Http1 => AT_ONCE,
            Load::Http2 => HTTP2_CONNECTIONS,
            _ => 1,
        };
        let warm = match load::warm(dialer, protocol, connections).await {
            Ok(warm) => warm,
            Err(error) => return self.failed(kind, name(load), &error),
        };
        let result = match load {
            Load::Events => self.events(kind, warm).await,
            _ => self.counted(contender, load, warm, period).await,
        };
        if let Err(error) = result {
            self.failed(kind, name(load), &error);
        }
    }

    async fn counted(
        &mut self,
        contender: &Contender,
        load: Load,
        mut warm: Vec<Connection>,
        period: Duration,
    ) -> anyhow::Result<()> {
        let (kind, dialer) = (contender.kind, &contender.dialer);
        if matches!(load, Load::Http2) {
            let copies = AT_ONCE / HTTP2_CONNECTIONS - 1;
            let more: Vec<_> = warm.iter().flat_map(|it| (0..copies).filter_map(|_| it.another())).collect();
            warm.extend(more);
        }
        let (opened, processor) = (opened_at_origin().await?, contender.processor()?);
        let mut one = || warm.pop().context("no connection");
        let tally = match load {
            Load::Down => load::bulk(dialer, one()?, Way::Down, DOWN, period).await,
            Load::Up => load::bulk(dialer, one()?, Way::Up, UP, period).await,
            Load::Low => load::paced(dialer, one()?, PAUSE, period).await,
            Load::New => load::new_connections(dialer, AT_ONCE, period).await,
            Load::Http1 => load::keep_alive(dialer, Protocol::Http1, warm, period).await,
            Load::Http2 | Load::Events => load::keep_alive(dialer, Protocol::Http2, warm, period).await,
        };
        let processor = contender.processor()? - processor;
        if !matches!(load, Load::New) {
            let opened = opened_at_origin().await?.saturating_sub(opened);
            self.figures.add(kind, Metric::Upstream, count(usize::try_from(opened)?));
        }
        self.tally(kind, name(load), &tally);
        self.figures_of(kind, load, &tally, processor);
        Ok(())
    }

    fn figures_of(&mut self, kind: Kind, load: Load, tally: &Tally, processor: f64) {
        let done = as_f64(tally.done);
        let mib = as_f64(tally.bytes) / (1024.0 * 1024.0);
        let cpu = |of: f64| (kind != Kind::Direct && of > 0.0).then(|| processor / of);
        let rate = |of: f64| (of > 0.0).then(|| of / tally.seconds);
        let latency = |part| quantile(&tally.latencies, part);
        let found = match load {
            Load::Http1 => vec![
                (Metric::Http1Cpu, cpu(done)),
                (Metric::Http1Rate, rate(done)),
                (Metric::Http1P99, latency(0.99)),
            ],
            Load::Http2 => vec![(Metric::Http2Cpu, cpu(done)), (Metric::Http2Rate, rate(done))],
            Load::New => vec![(Metric::NewCpu, cpu(done)), (Metric::NewRate, rate(done))],
            Load::Down => vec![(Metric::DownRate, rate(mib)), (Metric::DownCpu, cpu(mib * 1e3))],
            Load::Up => vec![(Metric::UpRate, rate(mib)), (Metric::UpCpu, cpu(mib * 1e3))],
            Load::Low => vec![(Metric::LowP50, latency(0.5)), (Metric::LowP99, latency(0.99))],
            Load::Events => Vec::new(),
        };
        for (metric, value) in found {
            if let Some(value) = value {
                self.figures.add(kind, metric, value);
            }
        }
    }

    async fn events(&mut self, kind: Kind, mut warm: Vec<Connection>) -> anyhow::Result<()> {
        let connection = warm.first_mut().context("no connection")?;
        let (mut heads, mut late) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            let stream = load::events(connection, 20, Duration::from_millis(5)).await?;
            heads.push(stream.head);
            late.extend(stream.late);
        }
        self.figures.add(kind, Metric::Requests, 5.0);
        let found = [
            (Metric::SseHead, quantile(&heads, 0.5)),
            (Metric::SseLate, quantile(&late, 0.5)),
            (Metric::SseLateP99, quantile(&late, 0.99)),
        ];
        for (metric, value) in found {
            self.figures.add(kind, metric, value.context("no events")?);
        }
        Ok(())
    }

    async fn many_hosts(&mut self, running: &[Contender]) -> anyhow::Result<()> {
        if self.settings.hosts == 0 {
            return Ok(());
        }
        namespace::names(self.place, self.settings.hosts)?;
        for contender in running.iter().filter(|it| it.kind.knows_many_hosts()) {
            let tally = load::many_hosts(&contender.dialer, self.settings.hosts, AT_ONCE).await;
            self.figures.add(contender.kind, Metric::Hosts, count(self.settings.hosts));
            self.figures.add(contender.kind, Metric::HostsFailed, as_f64(tally.failed));
            self.errors(contender.kind, "many hosts", &tally);
        }
        namespace::names(self.place, 0)
    }

    fn tally(&mut self, kind: Kind, what: &str, tally: &Tally) {
        self.figures.add(kind, Metric::Requests, as_f64(tally.done));
        self.figures.add(kind, Metric::Failed, as_f64(tally.failed));
        self.figures.add(kind, Metric::Reconnects, as_f64(tally.reconnects));
        self.errors(kind, what, tally);
    }

    fn errors(&mut self, kind: Kind, what: &str, tally: &Tally) {
        if let Some(error) = &tally.first_error {
            self.figures.errors.push(format!("{}, {what}, {} failed: {error}", kind.name(), tally.failed));
        }
    }
}

async fn first_answer(dialer: &Dialer) -> anyhow::Result<load::Stream> {
    let mut connection = dialer.open(Protocol::Http1).await?;
    load::events(&mut connection, 1, Duration::from_millis(1)).await
}

/// How many connections the origin has seen.
async fn opened_at_origin() -> anyhow::Result<u64> {
    let mut text = String::new();
    TcpStream::connect(COUNTS).await?.read_to_string(&mut text).await?;
    text.split(' ').next().and_then(|it| it.parse().ok()).context("the origin says no number")
}

fn name(load: Load) -> &'static str {
    match load {
        Load::Http1 => "HTTP/1.1",
        Load::Http2 => "HTTP/2",
        Load::New => "new connections",
        Load::Down => "down",
        Load::Up => "up",
        Load::Low => "low load",
        Load::Events => "events",
    }
}

fn mib(kib: &[u64]) -> Vec<f64> {
    kib.iter().map(|&it| as_f64(it) / 1024.0).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts of a run are below 2^52")]
fn as_f64(number: u64) -> f64 {
    number as f64
}

fn count(number: usize) -> f64 {
    as_f64(number as u64)
}
