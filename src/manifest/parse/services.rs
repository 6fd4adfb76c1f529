//! The containers beside the agent.

use super::super::findings::{Findings, quoted};
use super::super::item::Item;
use super::super::raw;
use super::{agent, env, file_path, no_label, resources};
use crate::manifest::Service;
use crate::stack::{service, volume_of};
use camino::Utf8PathBuf;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn services(
    raw: BTreeMap<String, raw::Service>,
    token_refs: &BTreeSet<&str>,
    findings: &mut Findings<'_>,
) -> Vec<Service> {
    raw.into_iter().filter_map(|(name, raw)| service(name, raw, token_refs, findings)).collect()
}

fn service(
    name: String,
    raw: raw::Service,
    token_refs: &BTreeSet<&str>,
    findings: &mut Findings<'_>,
) -> Option<Service> {
    let raw::Service { image, command, user, env, volumes, resources } = raw;
    if let Some((message, hint)) = wrong_name(&name) {
        let pointer = format!("/services/{}", name.replace('~', "~0").replace('/', "~1"));
        findings.push(findings.key("service", &pointer, message).hint(hint));
        return None;
    }
    let at = format!("services.{name}");
    let image = image.and_then(|name| agent::image_name(name, &format!("{at}.image"), findings));
    let command = command.map(|items| agent::command(items, &format!("{at}.command"), findings));
    let user = user.and_then(|user| agent::user(user, &format!("{at}.user"), findings));
    let env = env::service(env.unwrap_or_default(), &format!("/services/{name}/env"), token_refs, findings);
    let volumes = self::volumes(volumes.unwrap_or_default(), &name, &format!("{at}.volumes"), findings);
    let resources = resources::resources(resources.unwrap_or_default(), &format!("{at}.resources"), findings);
    Some(Service { name, image: image?, command, user, env, volumes, resources })
}

fn wrong_name(name: &str) -> Option<(String, String)> {
    if let Some(hint) = no_label(name) {
        return Some((format!("{} is not a DNS label", quoted(name)), hint));
    }
    service::ALL.contains(&name).then(|| {
        let hint = "choose another name; it shows in `bottle plan` and in the names of containers";
        (format!("`{name}` is a service of every bottle"), hint.to_owned())
    })
}

/// Volumes are named after their places, so places whose names would be the same are one too many.
fn volumes(
    items: Vec<Item<String>>,
    service: &str,
    pointer: &str,
    findings: &mut Findings<'_>,
) -> Vec<Utf8PathBuf> {
    let mut out: Vec<Utf8PathBuf> = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let at = format!("{pointer}[{index}]");
        let Some(place) = item.0.and_then(|text| file_path::agent_path(&text, &at, findings)) else {
            continue;
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        let (message, hint) = if let Some(taken) = agent::taken(&place) {
            let message = format!(
                "the volume at {} covers `{taken}`, which is not the manifest's",
                quoted(place.as_str())
            );
            (message, "name the folder that the image keeps its data in")
        } else if !place.as_str().chars().all(fits) {
            let message = format!("a volume can't be named after {}", quoted(place.as_str()));
            (message, "write a path of letters, digits, `.`, `_` and `-`")
        } else if out.iter().any(|other| volume_of(service, other) == volume_of(service, &place)) {
            (
                format!("another volume has the name of the one at {}", quoted(place.as_str())),
                "keep one of the two",
            )
        } else if let Some(other) =
            out.iter().find(|other| place.starts_with(other) || other.starts_with(&place))
        {
            // What runs in the service could put a link on the way to the inner one, which stays for the next start.
            let (place, other) = (quoted(place.as_str()), quoted(other.as_str()));
            (format!("the volumes at {place} and {other} lie one in the other"), "keep the outer one")
        } else {
            out.push(place);
            continue;
        };
        findings.push(findings.value("service", &at, message).hint(hint));
    }
    out
}
