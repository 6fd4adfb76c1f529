//! `bottle gate`: the byte relay, on real sockets.

use bottle::gate::{Address, Relay};
use std::{
    io::BufReader,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};

const SOON: Duration = Duration::from_secs(20);

async fn gate(listen: &str, connect: &str, max: usize) -> Address {
    let relay: Relay = format!("{listen}={connect}").parse().unwrap();
    let bound = relay.bind().await.unwrap().with_max_connections(max);
    let address = bound.local_address().unwrap();
    tokio::spawn(bound.serve());
    address
}

async fn dial(address: &Address) -> TcpStream {
    let Address::Tcp(address) = address else { panic!("not TCP") };
    TcpStream::connect(address).await.unwrap()
}

/// The far side: reads to the client's end, then answers with what it read, reversed.
async fn reverser(listener: UnixListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut seen = Vec::new();
            stream.read_to_end(&mut seen).await.unwrap();
            seen.reverse();
            stream.write_all(&seen).await.unwrap();
        });
    }
}

#[tokio::test]
async fn a_half_close_passes_and_the_answer_still_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("far.sock");
    tokio::spawn(reverser(UnixListener::bind(&path).unwrap()));
    let address = gate("127.0.0.1:0", &format!("unix:{}", path.display()), 8).await;

    let mut client = dial(&address).await;
    let sent: Vec<u8> = (0..3_000_000u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    client.write_all(&sent).await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(SOON, client.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert!(answer.iter().rev().eq(sent.iter()), "3 MB went out and came back reversed");
}

#[tokio::test]
async fn an_absent_far_side_closes_the_client_at_once_and_heals() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("far.sock");
    let address = gate("127.0.0.1:0", &format!("unix:{}", path.display()), 8).await;

    let mut client = dial(&address).await;
    let mut answer = Vec::new();
    tokio::time::timeout(SOON, client.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert!(answer.is_empty());

    tokio::spawn(reverser(UnixListener::bind(&path).unwrap()));
    let mut client = dial(&address).await;
    client.write_all(b"abc").await.unwrap();
    client.shutdown().await.unwrap();
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"cba");
}

#[tokio::test]
async fn a_reset_on_the_far_side_is_no_clean_end_for_the_client() {
    let far = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gate("127.0.0.1:0", &far.local_addr().unwrap().to_string(), 8).await;
    let mut client = dial(&address).await;
    client.write_all(b"x").await.unwrap();
    let (mut stream, _) = far.accept().await.unwrap();
    stream.read_u8().await.unwrap();
    stream.set_zero_linger().unwrap();
    drop(stream);
    let error = tokio::time::timeout(SOON, client.read_u8()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn one_connection_more_than_the_bound_waits_for_a_place() {
    let far = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gate("127.0.0.1:0", &far.local_addr().unwrap().to_string(), 1).await;
    let first = dial(&address).await;
    let (first_far, _) = far.accept().await.unwrap();
    let mut second = dial(&address).await;
    second.write_all(b"2").await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(200), far.accept()).await;
    assert!(early.is_err(), "the second connection is not relayed yet");
    drop((first, first_far));
    let (mut second_far, _) = tokio::time::timeout(SOON, far.accept()).await.unwrap().unwrap();
    assert_eq!(second_far.read_u8().await.unwrap(), b'2');
}

#[tokio::test]
async fn a_socket_file_that_nobody_serves_is_replaced_and_one_that_is_served_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("near.sock");
    drop(UnixListener::bind(&path).unwrap());
    let listen = format!("unix:{}", path.display());
    gate(&listen, "127.0.0.1:9", 8).await;
    UnixStream::connect(&path).await.unwrap();

    let again: Relay = format!("{listen}=127.0.0.1:9").parse().unwrap();
    let error = again.bind().await.unwrap_err().to_string();
    assert_eq!(error, format!("can't listen on {listen}: another process already serves it"));

    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let onto: Relay = format!("unix:{}=127.0.0.1:9", file.display()).parse().unwrap();
    let error = onto.bind().await.unwrap_err().to_string();
    assert!(error.ends_with("a file that is no socket is in the way"), "{error}");
}

fn start(arguments: &[&str]) -> (Child, BufReader<std::process::ChildStderr>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_bottle"))
        .arg("gate")
        .args(arguments)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    (child, stderr)
}

fn line(from: &mut impl std::io::BufRead) -> serde_json::Value {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"))
}

#[test]
fn the_binary_says_where_it_listens_relays_and_ends_with_0_on_sigterm() {
    let far = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let relay = format!("127.0.0.1:0={}", far.local_addr().unwrap());
    let (mut child, mut stderr) = start(&["--relay", &relay]);
    let ready = line(&mut stderr);
    assert_eq!(ready["message"], "ready");
    let _open = std::net::TcpStream::connect(ready["listen"].as_str().unwrap()).unwrap();
    far.accept().unwrap();

    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "an open connection does not hold it up");
}

#[test]
fn without_a_relay_it_holds_the_namespace_until_it_is_told_to_stop() {
    let (mut child, mut stderr) = start(&[]);
    assert_eq!(line(&mut stderr)["message"], "holding the network namespace; nothing is relayed");
    assert!(child.try_wait().unwrap().is_none());
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
