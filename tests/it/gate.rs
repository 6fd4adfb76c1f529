//! `bottle gate`: the byte relay, on real sockets.

use bottle::gate::{Address, Lend, Relay};
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
async fn when_all_places_are_taken_the_one_that_was_silent_for_longest_makes_way() {
    let far = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gate("127.0.0.1:0", &far.local_addr().unwrap().to_string(), 2).await;
    let mut silent = dial(&address).await;
    let (_silent_far, _) = far.accept().await.unwrap();
    let mut busy = dial(&address).await;
    let (mut busy_far, _) = far.accept().await.unwrap();
    // Nobody waits: silence costs nothing.
    let early = tokio::time::timeout(Duration::from_secs(12), silent.read_u8()).await;
    assert!(early.is_err(), "{early:?}");
    let mut waiting = dial(&address).await;
    waiting.write_all(b"w").await.unwrap();
    let begun = std::time::Instant::now();
    let served = loop {
        busy.write_all(b"b").await.unwrap();
        assert_eq!(busy_far.read_u8().await.unwrap(), b'b');
        match tokio::time::timeout(Duration::from_secs(1), far.accept()).await {
            Ok(served) => break served,
            Err(_) => assert!(begun.elapsed() < SOON, "nobody made way"),
        }
    };
    assert_eq!(served.unwrap().0.read_u8().await.unwrap(), b'w');
    assert_eq!(
        silent.read_u8().await.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionReset,
        "no clean end"
    );
}

/// Its end comes behind data that the far side does not take: more than the gate's buffers hold, or less.
#[tokio::test]
async fn a_client_that_is_gone_while_nobody_reads_ends_the_connection() {
    let far = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gate("127.0.0.1:0", &far.local_addr().unwrap().to_string(), 3).await;
    // What the far side and the gate take between them before it stops.
    let mut full = dial(&address).await;
    let (full_far, _) = far.accept().await.unwrap();
    let (block, mut taken) = (vec![0; 65_536], 0);
    while let Ok(sent) = tokio::time::timeout(Duration::from_millis(300), full.write(&block)).await {
        taken += sent.unwrap();
    }
    let mut ended = vec![(full, full_far)];
    let mut fits = dial(&address).await;
    let (fits_far, _) = far.accept().await.unwrap();
    fits.write_all(&vec![0; taken.saturating_sub(400 << 10)]).await.unwrap();
    ended.push((fits, fits_far));
    let mut waits = dial(&address).await;
    let (mut waits_far, _) = far.accept().await.unwrap();
    waits.shutdown().await.unwrap();

    let mut fars = Vec::new();
    for (client, far) in ended {
        drop(client);
        fars.push(far);
    }
    let begun = std::time::Instant::now();
    for far in fars {
        let error = loop {
            if let Some(error) = far.take_error().unwrap() {
                break error;
            }
            assert!(begun.elapsed() < SOON, "the connection goes on without a client");
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "no clean end");
    }
    waits_far.write_all(b"late").await.unwrap();
    let mut answer = [0; 4];
    waits.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"late", "one that only sends no more is there");
}

/// While every place is taken, or no gate is there, clients wait instead of being turned away.
#[tokio::test]
async fn hundreds_of_clients_may_wait() {
    let far = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gate("127.0.0.1:0", &far.local_addr().unwrap().to_string(), 1).await;
    let mut waiting = Vec::new();
    for _ in 0..500 {
        waiting.push(tokio::time::timeout(SOON, dial(&address)).await.expect("there is room in the queue"));
    }
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
    fs_err::write(&file, "x").unwrap();
    let onto: Relay = format!("unix:{}=127.0.0.1:9", file.display()).parse().unwrap();
    let error = onto.bind().await.unwrap_err().to_string();
    assert!(error.ends_with("a file that is not a socket is in the way"), "{error}");
}

/// What a client can write that nobody reads: the gate's share of it, and the kernel's, have bounds.
#[tokio::test]
async fn unread_data_is_bounded_in_both_directions() {
    // The relay's 32 KiB, the kernel's 192 KiB and 64 KiB on its sides, overruns, and what the test's sockets hold.
    const MOST: usize = 2 << 20;
    let far = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gate("127.0.0.1:0", &far.local_addr().unwrap().to_string(), 8).await;
    let own = |socket: &TcpStream| {
        use rustix::net::sockopt;
        sockopt::set_socket_send_buffer_size(socket, 64 << 10).unwrap();
        sockopt::set_socket_recv_buffer_size(socket, 64 << 10).unwrap();
    };
    let mut client = dial(&address).await;
    own(&client);
    let (mut stream, _) = far.accept().await.unwrap();
    own(&stream);
    for writer in [&mut client, &mut stream] {
        let mut written = 0;
        while let Ok(count) =
            tokio::time::timeout(Duration::from_millis(300), writer.write(&[0; 16 << 10])).await
        {
            written += count.unwrap();
            assert!(written <= MOST, "{written} bytes are held for one tunnel");
        }
        assert!(written > 64 << 10, "only {written} bytes are held: bulk copies would be slow");
    }
}

/// The port stays taken while no gate serves it, and whoever connects meanwhile is served by the next gate.
#[tokio::test]
async fn a_lent_port_outlives_its_gates() {
    let folder = tempfile::tempdir().unwrap();
    let (lent, far) = (folder.path().join("listener.sock"), folder.path().join("far.sock"));
    tokio::spawn(reverser(UnixListener::bind(&far).unwrap()));
    let relay = || -> Relay { format!("lent:{}=unix:{}", lent.display(), far.display()).parse().unwrap() };

    // The gate comes first, and waits for the lender.
    let waiting = tokio::spawn(relay().bind());
    let loan: Lend = format!("127.0.0.1:0=unix:{}", lent.display()).parse().unwrap();
    let held = loan.bind().await.unwrap();
    let address = held.local_address().unwrap();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&fs_err::metadata(&lent).unwrap().permissions()) & 0o777,
        0o600
    );
    tokio::spawn(held.serve());
    let mut bound = tokio::time::timeout(SOON, waiting).await.unwrap().unwrap().unwrap();

    for round in 0..3 {
        assert_eq!(bound.local_address().unwrap(), Address::Tcp(address.to_string()));
        let serving = tokio::spawn(bound.serve());
        assert_eq!(reversed(address, b"first").await, b"tsrif", "round {round}");
        serving.abort();
        assert!(serving.await.unwrap_err().is_cancelled());

        let taken = TcpListener::bind(address).await.unwrap_err();
        assert_eq!(
            taken.kind(),
            std::io::ErrorKind::AddrInUse,
            "nobody takes the port while there is no gate"
        );
        let anywhere = TcpListener::bind(("0.0.0.0", address.port())).await.unwrap_err();
        assert_eq!(anywhere.kind(), std::io::ErrorKind::AddrInUse);
        let patient = tokio::spawn(reversed(address, b"waits"));
        bound = relay().bind().await.unwrap();
        let serving = tokio::spawn(bound.serve());
        assert_eq!(tokio::time::timeout(SOON, patient).await.unwrap().unwrap(), b"stiaw", "round {round}");
        serving.abort();
        bound = relay().bind().await.unwrap();
    }
}

async fn reversed(address: std::net::SocketAddr, text: &[u8]) -> Vec<u8> {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(text).await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(SOON, client.read_to_end(&mut answer)).await.unwrap().unwrap();
    answer
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

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The health check tells a gate that serves from a port that is only held.
#[test]
fn a_held_port_is_healthy_only_while_a_gate_serves_it() {
    let folder = tempfile::tempdir().unwrap();
    let lent = folder.path().join("listener.sock");
    let (holder, mut said) = start(&["--lend", &format!("127.0.0.1:0=unix:{}", lent.display())]);
    let ready = line(&mut said);
    assert_eq!(ready["message"], "holding a port");
    let url = format!("tcp://{}", ready["listen"].as_str().unwrap());
    let check =
        || Command::new(env!("CARGO_BIN_EXE_bottle")).args(["healthcheck", "--url", &url]).output().unwrap();

    // Nothing is behind it: the gate is healthy all the same, since it closes at once.
    let relay = format!("lent:{}=unix:{}", lent.display(), folder.path().join("absent").display());
    let (gate, mut said) = start(&["--relay", &relay]);
    assert_eq!(line(&mut said)["message"], "ready");
    assert_eq!(check().status.code(), Some(0));

    end(gate);
    let held = check();
    assert_eq!(held.status.code(), Some(1));
    let text = String::from_utf8(held.stderr).unwrap();
    assert!(text.ends_with("the connection was taken, but nobody serves it\n"), "{text}");

    let (gate, mut said) = start(&["--relay", &relay]);
    assert_eq!(line(&mut said)["message"], "ready");
    assert_eq!(check().status.code(), Some(0), "and the next gate serves");
    end(gate);
    end(holder);
}

/// What an engine forwards from a published port comes from the gateway; who comes from elsewhere is reset before anything
/// is dialled.
#[tokio::test]
async fn clients_at_another_address_than_the_one_that_is_served_are_closed() {
    let far = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay: Relay = format!("127.0.0.1:0={}", far.local_addr().unwrap()).parse().unwrap();
    let bound = relay.bind().await.unwrap().only_from("127.0.0.2".parse().unwrap());
    let Address::Tcp(address) = bound.local_address().unwrap() else { panic!("not TCP") };
    tokio::spawn(bound.serve());
    let from = async |local: &str| {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(local.parse().unwrap()).unwrap();
        socket.connect(address.parse().unwrap()).await.unwrap()
    };
    for other in ["127.0.0.1:0", "127.0.0.3:0"] {
        let mut client = from(other).await;
        let error = tokio::time::timeout(SOON, client.read_u8()).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    let mut client = from("127.0.0.2:0").await;
    client.write_all(b"x").await.unwrap();
    // The first that was dialled is that one's.
    let (mut served, _) = tokio::time::timeout(SOON, far.accept()).await.unwrap().unwrap();
    assert_eq!(served.read_u8().await.unwrap(), b'x');
}
