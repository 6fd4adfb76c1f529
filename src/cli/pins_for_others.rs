//! What other bottles mount, pinned in this one's agent.
//!
//! A source that another bottle mounts can lie in a folder that this agent can write. Bound over itself, it and each
//! folder on the way to it can't be renamed or replaced from here, so that the other bottle gets what was agreed to.
//! Which bottles there are is a matter of this machine, so this stands in no committed file: it is a second compose
//! file in the state.

use super::folders::real;
use crate::capability::Capabilities;
use crate::consent::{Bottle, Registry};
use crate::kernel_view::{Source, SourceError};
use anyhow::ensure;
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Folders of this machine, each with its place in the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pins {
    places: BTreeMap<Utf8PathBuf, Utf8PathBuf>,
    /// What can't be pinned, a sentence each: the engine would follow a link and show the agent where it leads.
    refused: Vec<String>,
}

/// What a bottle mounts.
struct Mounted {
    /// Where it was when the person agreed: no links.
    source: Utf8PathBuf,
    /// The Compose project of the bottle.
    project: String,
}

impl Pins {
    /// What the other bottles of the registry mount below what this one's agent can write.
    pub(crate) fn between(bottle: &Bottle, own: &Capabilities, registry: &Registry) -> Self {
        let others = registry.bottles().filter(|other| other.out != bottle.out);
        let mounted: Vec<Mounted> = others
            .flat_map(|other| {
                let places = other.agreed_mounts().unwrap_or_default();
                places.into_iter().map(|source| Mounted { source, project: other.project.clone() })
            })
            .collect();
        pins(own, &mounted)
    }

    /// Refuses to start the agent where one can't be made.
    pub(crate) fn require_plain(&self) -> anyhow::Result<()> {
        ensure!(self.refused.is_empty(), "{}", self.refused.join("\n"));
        Ok(())
    }

    /// Each place in the agent with the folder of this machine.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Utf8Path, &Utf8Path)> {
        self.places.iter().map(|(target, source)| (target.as_path(), source.as_path()))
    }

    /// The compose file that pins them, where there is anything to pin: JSON, which is YAML; a `$` is doubled, as Compose
    /// wants it.
    pub(crate) fn compose(&self) -> Option<String> {
        if self.places.is_empty() {
            return None;
        }
        let literal = |path: &Utf8Path| path.as_str().replace('$', "$$");
        let volumes: Vec<Value> = self
            .iter()
            .map(|(target, source)| {
                json!({
                    "type": "bind", "source": literal(source), "target": literal(target),
                    "bind": {"create_host_path": false},
                })
            })
            .collect();
        Some(json!({"services": {"agent": {"volumes": volumes}}}).to_string())
    }
}

fn pins(own: &Capabilities, mounted: &[Mounted]) -> Pins {
    let mut pins = Pins::default();
    for (target, place) in own.writable_mounts() {
        for Mounted { source, project } in mounted {
            let Ok(below) = source.strip_prefix(place) else { continue };
            // The folders on the way, the source last; not the mount itself.
            let mut way: Vec<&Utf8Path> =
                below.ancestors().filter(|path| !path.as_str().is_empty()).collect();
            way.reverse();
            let way = way.into_iter().map(|step| (target.join(step), place.join(step)));
            // Where a mount of its own protects or covers the place, a pin would open it.
            let free = |target: &Utf8Path, place: &Utf8Path| {
                own.seen_at(target) == Some((place.to_owned(), true))
                    && own.sources().all(|(taken, _)| taken != target)
            };
            let way: BTreeMap<_, _> = way.filter(|(target, place)| free(target, place)).collect();
            if way.is_empty() {
                continue;
            }
            match Source::at(source) {
                Ok(_) => pins.places.extend(way),
                // No agent that starts without the pin goes on when it has come to be there and is mounted.
                Err(error) if error.is_absence() => {}
                Err(error) => pins.refused.push(refusal(source, project, &error)),
            }
        }
    }
    pins.refused.sort();
    pins.refused.dedup();
    pins
}

fn refusal(source: &Utf8Path, project: &str, error: &SourceError) -> String {
    let what = match error {
        SourceError::Link { .. } => {
            format!("{source} is a link, or goes through one, and leads to {}", real(source))
        }
        error => error.to_string(),
    };
    format!(
        "{what}; the bottle {project} mounts that place, and this agent can write there, so that it must be a plain file \
         or folder: put it right, or `bottle down --forget {project}`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::Machine;
    use crate::manifest::Manifest;
    use crate::plan::{Plan, Surroundings};

    fn mounted(source: Utf8PathBuf) -> Mounted {
        Mounted { source, project: "bottle-b-0123ab".to_owned() }
    }

    /// A pin comes on top of what is agreed to, so it must not show what that hides or protects.
    #[test]
    fn nothing_is_pinned_where_a_mount_of_its_own_protects_or_covers_it() {
        let dir = tempfile::tempdir().unwrap();
        let project = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
        for folder in ["infra/prod", "masked/a", "empty", "open/a"] {
            fs_err::create_dir_all(project.join(folder)).unwrap();
        }
        let text = "version: 1\nname: dev\nagent: {image: x, mounts: [{source: ., target: /work}, {source: ./infra, \
                    target: /work/infra, read_only: true}, {source: ./empty, target: /work/masked, read_only: true}]}\n\
                    egress: {allowlist: [a.example]}\n";
        let loaded = Manifest::load("bottle.yaml", text.as_bytes()).unwrap();
        let plan = Plan::resolve(&loaded.manifest, &Surroundings::beside("dev")).unwrap();
        let own = Capabilities::from_plan(&plan, &Machine { project: project.clone(), ..Machine::default() });
        let mounted = ["infra/prod", "masked/a", "open/a"].map(|path| mounted(project.join(path)));
        let pinned: Vec<_> = pins(&own, &mounted).places.into_keys().collect();
        assert_eq!(pinned, ["/work/open", "/work/open/a"]);
    }

    #[test]
    fn what_lies_in_a_writable_mount_is_pinned_with_the_folders_on_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let project = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
        fs_err::create_dir_all(project.join("a/b$")).unwrap();
        fs_err::create_dir(project.join("own")).unwrap();
        let text = "version: 1\nname: dev\nagent: {image: x, mounts: [{source: ., target: /work}, {source: ./own, \
                    target: /own}]}\negress: {allowlist: [a.example]}\n";
        let loaded = Manifest::load("bottle.yaml", text.as_bytes()).unwrap();
        let plan = Plan::resolve(&loaded.manifest, &Surroundings::beside("dev")).unwrap();
        let machine = Machine { project: project.clone(), ..Machine::default() };
        let own = Capabilities::from_plan(&plan, &machine);
        let mounted = ["a/b$", "own", "gone", "."]
            .map(|path| mounted(crate::plan::layout::normal(&project.join(path))));
        let found = pins(&own, &mounted);
        found.require_plain().unwrap();
        let shown: Vec<_> =
            found.iter().map(|(target, source)| (target.as_str(), source.to_owned())).collect();
        assert_eq!(shown, [("/work/a", project.join("a")), ("/work/a/b$", project.join("a/b$"))]);
        let compose = found.compose().unwrap();
        assert!(compose.contains("/work/a/b$$\"") && !compose.contains("read_only"), "{compose}");
        assert_eq!(Pins::default().compose(), None);
    }

    /// The engine follows a link, so a pin on one would show the agent where it leads, writable.
    #[test]
    fn what_became_a_link_is_refused_and_never_pinned() {
        use fs_err::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let project = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
        let text = "version: 1\nname: dev\nagent: {image: x, mounts: [{source: ., target: /work}]}\n\
                    egress: {allowlist: [a.example]}\n";
        let loaded = Manifest::load("bottle.yaml", text.as_bytes()).unwrap();
        let plan = Plan::resolve(&loaded.manifest, &Surroundings::beside("dev")).unwrap();
        let own = Capabilities::from_plan(&plan, &Machine { project: project.clone(), ..Machine::default() });
        symlink("/etc", project.join("cache")).unwrap();
        symlink("/nowhere", project.join("dead")).unwrap();
        for (path, leads_to) in [("cache", "/etc"), ("cache/ssl", "/etc/ssl"), ("cache/none", "/etc/none")] {
            let found = pins(&own, &[mounted(project.join(path))]);
            assert_eq!(found.iter().count(), 0, "{path}");
            let said = found.require_plain().unwrap_err().to_string();
            assert_eq!(
                said,
                format!(
                    "{project}/{path} is a link, or goes through one, and leads to {leads_to}; the bottle bottle-b-0123ab \
                     mounts that place, and this agent can write there, so that it must be a plain file or folder: put it \
                     right, or `bottle down --forget bottle-b-0123ab`"
                )
            );
        }
        assert!(pins(&own, &[mounted(project.join("dead"))]).require_plain().is_err());
    }
}
