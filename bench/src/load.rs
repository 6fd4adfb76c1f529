//! The loads. Each counts what failed and what was opened again without being asked to.

use crate::bodies::{Long, empty, now};
use crate::client::{Connection, Dialer, Protocol, whole};
use crate::origin::{MIB, SMALL};
use crate::place::MANY;
use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt as _;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// What became of a load.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) done: u64,
    pub(crate) failed: u64,
    /// Connections that the other side closed between two requests.
    pub(crate) reconnects: u64,
    /// Milliseconds, one for each request that was done.
    pub(crate) latencies: Vec<f64>,
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    pub(crate) first_error: Option<String>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.done += other.done;
        self.failed += other.failed;
        self.reconnects += other.reconnects;
        self.latencies.extend(other.latencies);
        self.bytes += other.bytes;
        self.first_error = self.first_error.take().or(other.first_error);
    }

    fn count(&mut self, result: anyhow::Result<()>, start: Instant) -> bool {
        match result {
            Ok(()) => {
                self.done += 1;
                self.latencies.push(start.elapsed().as_secs_f64() * 1e3);
                true
            }
            Err(error) => {
                self.failed += 1;
                self.first_error.get_or_insert_with(|| format!("{error:#}"));
                false
            }
        }
    }
}

async fn patient<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    timeout(PATIENCE, work).await.with_context(|| format!("no end after {PATIENCE:?}"))?
}

/// All workers, until each has ended.
async fn all(mut workers: JoinSet<Tally>, start: Instant) -> Tally {
    let mut tally = Tally::default();
    while let Some(ended) = workers.join_next().await {
        match ended {
            Ok(one) => tally.add(one),
            Err(error) => {
                tally.failed += 1;
                tally.first_error.get_or_insert_with(|| error.to_string());
            }
        }
    }
    tally.seconds = start.elapsed().as_secs_f64();
    tally
}

/// Connections that have been used once.
pub(crate) async fn warm(
    dialer: &Dialer,
    protocol: Protocol,
    count: usize,
) -> anyhow::Result<Vec<Connection>> {
    let mut connections = Vec::new();
    for _ in 0..count {
        let open = async {
            let mut connection = dialer.open(protocol).await?;
            connection.get("/v1/small", SMALL).await?;
            Ok(connection)
        };
        connections.push(patient(open).await?);
    }
    Ok(connections)
}

/// Requests one after the other on each connection, as fast as they are answered. Of an HTTP/2 connection as many
/// streams are used at a time as there are copies of it.
pub(crate) async fn keep_alive(
    dialer: &Dialer,
    protocol: Protocol,
    connections: Vec<Connection>,
    period: Duration,
) -> Tally {
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for connection in connections {
        workers.spawn(worker(dialer.clone(), protocol, connection, start + period, None));
    }
    all(workers, start).await
}

/// The same on one connection, with a pause before each request.
pub(crate) async fn paced(
    dialer: &Dialer,
    connection: Connection,
    pause: Duration,
    period: Duration,
) -> Tally {
    let start = Instant::now();
    let mut workers = JoinSet::new();
    workers.spawn(worker(dialer.clone(), Protocol::Http1, connection, start + period, Some(pause)));
    all(workers, start).await
}

async fn worker(
    dialer: Dialer,
    protocol: Protocol,
    mut connection: Connection,
    end: Instant,
    pause: Option<Duration>,
) -> Tally {
    let mut tally = Tally::default();
    let mut ticks = pause.map(interval);
    if let Some(ticks) = &mut ticks {
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    while Instant::now() < end {
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        if connection.is_closed().await {
            tally.reconnects += 1;
            match patient(dialer.open(protocol)).await {
                Ok(opened) => connection = opened,
                Err(error) => {
                    tally.count(Err(error), end);
                    // What refuses at once would be asked a million times.
                    sleep(Duration::from_millis(10)).await;
                    continue;
                }
            }
        }
        let start = Instant::now();
        let result = patient(connection.get("/v1/small", SMALL)).await;
        tally.count(result, start);
    }
    tally
}

/// A new connection for each request, `at_once` at a time.
pub(crate) async fn new_connections(dialer: &Dialer, at_once: usize, period: Duration) -> Tally {
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..at_once {
        let dialer = dialer.clone();
        workers.spawn(async move {
            let mut tally = Tally::default();
            while start.elapsed() < period {
                let begin = Instant::now();
                let once = async { dialer.open(Protocol::Http1).await?.get("/v1/small", SMALL).await };
                if !tally.count(patient(once).await, begin) {
                    sleep(Duration::from_millis(10)).await;
                }
            }
            tally
        });
    }
    all(workers, start).await
}

/// Which way a long body goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    Down,
    Up,
}

/// Long bodies one after the other on one connection.
pub(crate) async fn bulk(
    dialer: &Dialer,
    mut connection: Connection,
    way: Way,
    mib: u64,
    period: Duration,
) -> Tally {
    let start = Instant::now();
    let mut tally = Tally::default();
    while start.elapsed() < period {
        let begin = Instant::now();
        if connection.is_closed().await {
            tally.reconnects += 1;
            match patient(dialer.open(Protocol::Http1)).await {
                Ok(opened) => connection = opened,
                Err(error) => {
                    tally.count(Err(error), begin);
                    break;
                }
            }
        }
        let result = match way {
            Way::Down => patient(down(&mut connection, mib)).await,
            Way::Up => patient(up(&mut connection, mib)).await,
        };
        if !tally.count(result, begin) {
            break;
        }
        tally.bytes += mib * MIB;
    }
    tally.seconds = start.elapsed().as_secs_f64();
    tally
}

async fn down(connection: &mut Connection, mib: u64) -> anyhow::Result<()> {
    let mut body = connection.send(Method::GET, &format!("/v1/down/{mib}"), empty()).await?.into_body();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame?.data_ref().map_or(0, Bytes::len) as u64;
    }
    ensure!(bytes == mib * MIB, "{bytes} bytes came of {mib} MiB");
    Ok(())
}

async fn up(connection: &mut Connection, mib: u64) -> anyhow::Result<()> {
    let sent = mib * MIB;
    let response = connection.send(Method::POST, "/v1/up", Long::boxed_of(sent)).await?;
    let counted = whole(response).await?;
    ensure!(counted == sent.to_string(), "{} bytes arrived of {sent}", String::from_utf8_lossy(&counted));
    Ok(())
}

/// One stream of events: how long the head took, and how late each event was, in milliseconds.
pub(crate) struct Stream {
    pub(crate) head: f64,
    pub(crate) late: Vec<f64>,
}

pub(crate) async fn events(
    connection: &mut Connection,
    count: u32,
    every: Duration,
) -> anyhow::Result<Stream> {
    let start = Instant::now();
    let path = format!("/v1/events/{count}/{}", every.as_millis());
    let mut body = patient(connection.send(Method::GET, &path, empty())).await?.into_body();
    let head = start.elapsed().as_secs_f64() * 1e3;
    let mut late = Vec::new();
    let mut text = Vec::new();
    while let Some(frame) = timeout(PATIENCE, body.frame()).await.context("the events stopped")? {
        let arrived = now();
        text.extend_from_slice(&frame?.into_data().unwrap_or_default());
        while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
            let event: Vec<u8> = text.drain(..end + 2).collect();
            let sent =
                std::str::from_utf8(&event)?.trim().strip_prefix("data: ").context("no data in an event")?;
            late.push(Duration::from_nanos(arrived.saturating_sub(sent.parse()?)).as_secs_f64() * 1e3);
        }
    }
    ensure!(late.len() == count as usize, "{} events came of {count}", late.len());
    Ok(Stream { head, late })
}

/// One request for each of so many hosts, each through a tunnel of its own that stays until the next is open.
pub(crate) async fn many_hosts(dialer: &Dialer, count: usize, at_once: usize) -> Tally {
    let start = Instant::now();
    let left: VecDeque<usize> = (0..count).collect();
    let left = Arc::new(Mutex::new(left));
    let mut workers = JoinSet::new();
    for _ in 0..at_once {
        let (dialer, left) = (dialer.clone(), Arc::clone(&left));
        workers.spawn(async move {
            let mut tally = Tally::default();
            loop {
                let Some(number) = left.lock().unwrap_or_else(PoisonError::into_inner).pop_front() else {
                    break;
                };
                let begin = Instant::now();
                let once = async {
                    dialer.open_to(&many_name(number), Protocol::Http1).await?.get("/many", SMALL).await
                };
                tally.count(patient(once).await, begin);
            }
            tally
        });
    }
    all(workers, start).await
}

/// The name of one of them.
pub(crate) fn many_name(number: usize) -> String {
    format!("h{number}.{MANY}")
}
