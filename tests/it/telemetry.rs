//! The admin listener, and `bottle healthcheck` that reads it.

use bottle::telemetry::{
    admin::Admin,
    client::{AdminAnswer, get},
    status::LiveStatus,
};
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use std::{
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

struct Runtime {
    address: String,
    status: LiveStatus,
    stuck: Arc<AtomicBool>,
    _threads: tokio::runtime::Runtime,
}

fn admin() -> Runtime {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let status = LiveStatus::new("dev".to_owned(), "c0ffee".to_owned());
    let mut metrics = Registry::default();
    let counter = Counter::<u64>::default();
    counter.inc_by(3);
    metrics.register("requests", "Requests", counter);
    let stuck = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stuck);
    let admin = Admin {
        status: status.clone(),
        metrics: Arc::new(metrics),
        obstacle: Arc::new(move || seen.load(Ordering::Relaxed).then_some("the audit log is stuck\n")),
    };
    let listener = runtime.block_on(Admin::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    runtime.spawn(admin.serve(listener));
    Runtime { address, status, stuck, _threads: runtime }
}

fn ask(runtime: &Runtime, path: &str) -> AdminAnswer {
    get(&format!("http://{}{path}", runtime.address)).unwrap()
}

fn healthcheck(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bottle")).arg("healthcheck").args(arguments).output().unwrap()
}

#[test]
fn it_is_alive_before_it_is_ready() {
    let runtime = admin();
    assert_eq!(ask(&runtime, "/healthz"), AdminAnswer { status: 200, body: "ok\n".to_owned() });
    assert_eq!(
        ask(&runtime, "/readyz"),
        AdminAnswer { status: 503, body: "starting or draining\n".to_owned() }
    );
    runtime.status.set_ready(true);
    assert_eq!(ask(&runtime, "/readyz"), AdminAnswer { status: 200, body: "ready\n".to_owned() });
    runtime.stuck.store(true, Ordering::Relaxed);
    assert_eq!(
        ask(&runtime, "/readyz"),
        AdminAnswer { status: 503, body: "the audit log is stuck\n".to_owned() }
    );
}

#[test]
fn the_metrics_are_openmetrics_and_anything_else_is_not_found() {
    let runtime = admin();
    let page = ask(&runtime, "/metrics").body;
    assert!(page.contains("requests_total 3\n") && page.ends_with("# EOF\n"), "{page}");
    assert_eq!(ask(&runtime, "/config").status, 404);
}

#[test]
fn the_health_check_says_how_it_went_by_its_exit_code() {
    let runtime = admin();
    let ready = format!("http://{}/readyz", runtime.address);
    let before = healthcheck(&["--url", &ready]);
    assert_eq!(before.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(before.stderr).unwrap(),
        format!("{ready} answered 503: starting or draining\n")
    );
    runtime.status.set_ready(true);
    let after = healthcheck(&["--url", &ready, "--print"]);
    assert_eq!((after.status.code(), after.stdout.as_slice()), (Some(0), b"ready\n".as_slice()));
    assert_eq!(healthcheck(&["--url", &format!("tcp://{}", runtime.address)]).status.code(), Some(0));
}

#[test]
fn nobody_there_is_1_and_a_bad_url_is_2() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let absent = healthcheck(&["--url", &format!("tcp://{free}")]);
    assert_eq!(absent.status.code(), Some(1));
    let said = String::from_utf8(absent.stderr).unwrap();
    assert!(said.starts_with(&format!("no answer from {free}: Connection refused")), "{said}");
    assert_eq!(healthcheck(&["--url", "https://127.0.0.1/"]).status.code(), Some(2));
}
