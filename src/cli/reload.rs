//! `bottle reload`: rules that changed take effect and nobody's session ends. On the host it goes through
//! `docker compose exec`, which runs the same verb inside each proxy's container.

use super::agreed_stack::{Stack, StackArgs};
use super::{Globals, Outcome, container_checks, reload_in_container, say, verify};
use crate::plan::Topology;
use crate::stack::{self, service};
use anyhow::bail;
use camino::Utf8Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Make the proxies of a running stack read their rendered rules again
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bottle render && bottle reload")]
pub(crate) struct Args {
    #[command(flatten)]
    stack: StackArgs,
    /// Signal the proxy behind this admin listener, from inside its container
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "manifest")]
    admin: Option<String>,
}

/// The config folders of the proxies; one of them is mounted in each proxy's container and nowhere else.
const INSIDE: [&str; 2] = [stack::EGRESS_PROXY_CONFIG, stack::PIPELOCK_CONFIG];

pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let inside = args.stack.manifest.is_none() && INSIDE.iter().any(|folder| Utf8Path::new(folder).is_dir());
    match &args.admin {
        Some(admin) => reload_in_container::run(admin),
        None if inside => reload_in_container::run(&stack::ADMIN.to_string()),
        None => on_the_host(args, globals),
    }
}

fn on_the_host(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let stack = Stack::open_current(&args.stack, globals)?;
    apply(&stack)?;
    if !globals.quiet {
        say(&format!("the rules in {} are live\n", stack.shown()));
    }
    let containers = container_checks::of_project(&stack.bottle.project)?;
    let running: Vec<_> = containers.into_iter().filter(container_checks::Container::is_running).collect();
    for problem in verify::drift(&stack, &running)? {
        say(&format!("note: what no reload can change goes on as it was: {problem}\n"));
    }
    Ok(Outcome::Done)
}

/// Both configs are checked before either proxy is told: a bad one changes nothing.
pub(crate) fn apply(stack: &Stack) -> anyhow::Result<()> {
    let upstream = stack.plan.runs_upstream();
    let mut checks = vec![(
        service::PIPELOCK,
        if upstream {
            vec![stack::UPSTREAM_BINARY, "check", "--config", stack::PIPELOCK]
        } else {
            let embedded = ["--config", stack::PIPELOCK, "--embedded", stack::EMBEDDED];
            [stack::BINARY, "pipelock", "check"].into_iter().chain(embedded).collect()
        },
    )];
    if stack.plan.topology == Topology::Chain {
        let check = vec![stack::BINARY, "egress-proxy", "check", "--config", stack::ROUTES];
        checks.push((service::EGRESS_PROXY, check));
    }
    let running = stack.running()?;
    if let Some((absent, _)) = checks.iter().find(|(service, _)| !running.iter().any(|it| it == service)) {
        bail!(
            "{absent} is not running, so it can't reload; `bottle up` starts the stack with the rules as rendered"
        );
    }
    for (service, check) in &checks {
        let arguments: Vec<&str> = ["exec", "-T", service].into_iter().chain(check.iter().copied()).collect();
        if !stack.quietly(&mut stack.command(&arguments))?.success() {
            bail!(
                "{service} would not take its config; nothing was reloaded (a route with a new token needs `bottle up --rotate`)"
            );
        }
    }
    // What egress-proxy newly lets through must find pipelock ready for it.
    for (service, _) in &checks {
        if upstream && *service == service::PIPELOCK {
            restart_upstream(stack)?;
            continue;
        }
        if !stack.quietly(&mut stack.command(&["exec", "-T", service, stack::BINARY, "reload"]))?.success() {
            bail!("{service} did not reload; it goes on with the rules that it has");
        }
    }
    stack.note_start()
}

/// How long the upstream project's program may take to serve again.
const PATIENCE: Duration = Duration::from_secs(30);

/// The upstream project's program begins anew: of what it notices by itself, newer releases take no host that is new to
/// them. Its relay holds its namespace and its socket meanwhile, so nobody loses more than what is in flight.
fn restart_upstream(stack: &Stack) -> anyhow::Result<()> {
    stack.compose(&["restart", service::PIPELOCK])?;
    let health = format!("http://{}/health", stack::PIPELOCK_LOOPBACK);
    let ask = ["exec", "-T", service::RELAY, stack::BINARY, "healthcheck", "--url", &health];
    let start = Instant::now();
    while !stack.command(&ask).output().is_ok_and(|answer| answer.status.success()) {
        if start.elapsed() > PATIENCE {
            bail!(
                "pipelock was restarted and does not serve; `docker compose logs pipelock` has what it said, and \
                 egress-proxy goes on with the rules that it has"
            );
        }
        sleep(Duration::from_millis(200));
    }
    Ok(())
}
