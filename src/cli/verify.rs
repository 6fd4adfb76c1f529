//! `bottle verify`: whether what runs, and what lies in the project, is what was agreed to.

mod audit;
mod settings;

use super::agreed_stack::{Stack, StackArgs};
use super::docker::{docker, output_of};
use super::{
    Format, Globals, Outcome, container_checks, own_image, places, print_as, settings_hash,
    tree_against_agreed,
};
use crate::consent::Running;
use crate::stack::{network, service};
use crate::state::ENV_FILE;
use crate::tree::Folder;
use camino::{Utf8Path, Utf8PathBuf};

/// Check a running stack, and the tree in the project, against what you agreed to
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bottle verify
  bottle verify --audit egress-proxy.jsonl")]
pub(crate) struct Args {
    #[command(flatten)]
    stack: StackArgs,
    /// Say instead which commit has the rules that decided each line of an audit log: a file, gzip too, an audit
    /// folder, or `-`
    #[arg(long, value_name = "FILE")]
    audit: Vec<Utf8PathBuf>,
}

pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    if !args.audit.is_empty() {
        return audit::run(args.stack.manifest.as_deref(), args.stack.out.as_deref(), &args.audit, globals);
    }
    let stack = Stack::open(&args.stack, globals)?;
    let mut problems = Vec::new();
    if let Some(difference) = tree_against_agreed::describe(stack.folder(), &stack.bottle.out, &stack.agreed)?
    {
        problems.push(format!("{} is not what you agreed to:\n{difference}", stack.shown()));
    }
    problems.extend(env_file(&stack)?);
    problems.extend(stack.bottle.seal.require_whole(&stack.bottle.state).err().map(|it| it.to_string()));
    problems.extend(places::require_agreed(&stack).err().map(|error| error.to_string()));
    let containers = container_checks::of_project(&stack.bottle.project)?;
    let running: Vec<_> = containers.into_iter().filter(container_checks::Container::goes_on).collect();
    problems.extend(container_checks::holds(&stack, &running));
    for container in &running {
        problems.extend(container_checks::other_mounts(&stack, container)?);
    }
    problems.extend(drift(&stack, &running)?);
    problems.extend(settings::drift(&stack, &running)?);
    let started = Running::load(&stack.bottle.state).filter(|_| !running.is_empty());
    if started.is_some_and(|started| started.digest != stack.agreed.record.digest) {
        problems.push(
            "what runs is what you agreed to before; `bottle reload` takes new rules, `bottle up` everything"
                .to_owned(),
        );
    }
    let services: Vec<&str> = running.iter().map(|it| it.service.as_str()).collect();
    print_as(
        globals.format,
        &match globals.format {
            Format::Json => format!(
                "{:#}\n",
                serde_json::json!({
                    "project": stack.bottle.project, "digest": stack.agreed.record.digest, "running": services,
                    "same": problems.is_empty(), "problems": problems,
                })
            ),
            Format::Text if problems.is_empty() && running.is_empty() => {
                format!("{} is what you agreed to; nothing runs\n", stack.shown())
            }
            Format::Text if problems.is_empty() => {
                format!("{} and {} containers are what you agreed to\n", stack.shown(), running.len())
            }
            Format::Text => problems.iter().flat_map(|problem| [problem.trim_end(), "\n"]).collect(),
        },
    )?;
    Ok(if problems.is_empty() { Outcome::Done } else { Outcome::Differs })
}

/// Compose by hand reads the one in the project.
fn env_file(stack: &Stack) -> anyhow::Result<Option<String>> {
    let agreed = Folder::open(&stack.bottle.state)?.read(ENV_FILE)?;
    let below = stack.bottle.out.strip_prefix("/").unwrap_or(&stack.bottle.out);
    let found = match Folder::open(Utf8Path::new("/"))?.find(below)? {
        Some(folder) => folder.read(ENV_FILE)?,
        None => None,
    };
    Ok((found.is_some() && found != agreed).then(|| {
        let file = stack.shown().join(ENV_FILE);
        format!(
            "{file} is not what `bottle render` wrote, and `docker compose` by hand reads it; render again"
        )
    }))
}

/// What each service was made of against what it would be made of, and the networks that it is on.
pub(super) fn drift(stack: &Stack, running: &[container_checks::Container]) -> anyhow::Result<Vec<String>> {
    let hashes = settings_hash::of_services(stack, running)?;
    let mut problems = Vec::new();
    for container in running {
        match hashes.get(&container.service) {
            None => problems.push(format!("{} is not a service of this stack", container.name)),
            // `compose run` makes its container with changes of its own.
            Some(hash) if !container.one_off && *hash != container.config_hash => problems.push(format!(
                "{} was made from other settings than those that you agreed to; `bottle up` makes it again",
                container.name
            )),
            Some(_) => {}
        }
        if let Some(problem) = networks(stack, container) {
            problems.push(problem);
        }
    }
    problems.extend(image(stack, running)?);
    Ok(problems)
}

/// Somebody may have connected a container to one network more.
fn networks(stack: &Stack, container: &container_checks::Container) -> Option<String> {
    let named = |name: &str| format!("{}_{name}", stack.bottle.project);
    let egress = stack.plan.egress_network.clone().unwrap_or_else(|| named(network::EGRESS));
    let wanted = match container.service.as_str() {
        service::RELAY => vec![egress],
        service::PIPELOCK if !stack.plan.runs_upstream() => vec![egress],
        service::PUBLISH => vec![named(network::PUBLISH)],
        service::NETNS | service::EGRESS_PROXY | service::SUPERVISE => vec!["none".to_owned()],
        _ => Vec::new(), // in the namespace of another
    };
    (container.networks != wanted).then(|| {
        format!("{} is on the networks {:?}, and should be on {wanted:?}", container.name, container.networks)
    })
}

/// All of bottle's own services are one image, which is built from the state.
fn image(stack: &Stack, running: &[container_checks::Container]) -> anyhow::Result<Option<String>> {
    let is_own = |it: &&container_checks::Container| !stack.has_own_image(&it.service);
    let own: Vec<&str> = running.iter().filter(is_own).map(|it| it.id.as_str()).collect();
    if own.is_empty() {
        return Ok(None);
    }
    let tagged = own_image::id(&stack.bottle.project)?;
    let used = output_of(docker().args(["inspect", "--format", "{{.Image}}"]).args(own))?;
    let other = used.lines().any(|id| Some(id.trim()) != tagged.as_deref());
    let name = own_image::name(&stack.bottle.project);
    Ok(other.then(|| format!("a service runs another image than {name}; `bottle up` makes it again")))
}
