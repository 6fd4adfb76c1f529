//! What other bottles mount, pinned in this one's agent.
//!
//! A source that another bottle mounts can lie in a folder that this agent can write. Bound over itself, it and each
//! folder on the way to it can't be renamed or replaced from here, so that the other bottle gets what was agreed to.
//! Which bottles there are is a matter of this machine, so this stands in no committed file: it is a second compose
//! file in the state.

use crate::capability::Capabilities;
use crate::consent::{Bottle, Record, Registry};
use crate::tree::Folder;
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The file in the state.
const FILE: &str = "pins.json";

/// Folders of this machine, each with its place in the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pins(BTreeMap<Utf8PathBuf, Utf8PathBuf>);

impl Pins {
    /// What the other bottles of the registry mount below what this one's agent can write.
    pub(crate) fn between(bottle: &Bottle, own: &Capabilities, registry: &Registry) -> Self {
        let others = registry.bottles().filter(|other| other.out != bottle.out);
        let records = others.filter_map(|other| Record::load(&other.state).ok().flatten());
        let sources: Vec<Utf8PathBuf> = records
            .flat_map(|record| {
                let sources = record.capabilities.sources().map(|(_, real)| real.to_owned());
                sources.collect::<Vec<_>>()
            })
            .collect();
        Self(pins(own, &sources))
    }

    /// Each place in the agent with the folder of this machine.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Utf8Path, &Utf8Path)> {
        self.0.iter().map(|(target, source)| (target.as_path(), source.as_path()))
    }

    /// Writes the compose file, where there is anything to pin, and says where it is.
    pub(crate) fn write(&self, state: &Utf8Path) -> anyhow::Result<Option<Utf8PathBuf>> {
        let folder = Folder::open(state)?;
        if self.0.is_empty() {
            folder.remove(FILE)?;
            return Ok(None);
        }
        let text = self.compose().to_string();
        if !folder.is_as_wanted(FILE, text.as_bytes(), 0o600, None)? {
            folder.stage(FILE, text.as_bytes(), 0o600)?.commit()?;
        }
        Ok(Some(state.join(FILE)))
    }

    /// JSON, which is YAML; a `$` is doubled, as Compose wants it.
    fn compose(&self) -> Value {
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
        json!({"services": {"agent": {"volumes": volumes}}})
    }
}

fn pins(own: &Capabilities, sources: &[Utf8PathBuf]) -> BTreeMap<Utf8PathBuf, Utf8PathBuf> {
    let mut pins = BTreeMap::new();
    for (target, place) in own.writable_mounts() {
        for source in sources.iter().filter(|source| source.exists()) {
            let Ok(below) = source.strip_prefix(place) else { continue };
            // The folders on the way, the source last; not the mount itself.
            let mut way: Vec<&Utf8Path> =
                below.ancestors().filter(|path| !path.as_str().is_empty()).collect();
            way.reverse();
            for step in way {
                let (target, place) = (target.join(step), place.join(step));
                // Where a mount of its own protects or covers the place, a pin would open it.
                if own.seen_at(&target) == Some((place.clone(), true)) {
                    pins.insert(target, place);
                }
            }
        }
    }
    pins.retain(|target, _| own.sources().all(|(taken, _)| taken != target));
    pins
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::Machine;
    use crate::manifest::Manifest;
    use crate::plan::{Plan, Surroundings};

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
        let sources = ["infra/prod", "masked/a", "open/a"].map(|path| project.join(path));
        let pinned: Vec<_> = pins(&own, &sources).into_keys().collect();
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
        let sources =
            ["a/b$", "own", "gone", "."].map(|path| crate::plan::layout::normal(&project.join(path)));
        let found = Pins(pins(&own, &sources));
        let shown: Vec<_> =
            found.iter().map(|(target, source)| (target.as_str(), source.to_owned())).collect();
        assert_eq!(shown, [("/work/a", project.join("a")), ("/work/a/b$", project.join("a/b$"))]);
        let compose = found.compose().to_string();
        assert!(compose.contains("/work/a/b$$\"") && !compose.contains("read_only"), "{compose}");
        assert_eq!(found.write(&project).unwrap(), Some(project.join(FILE)));
        assert_eq!(Pins::default().write(&project).unwrap(), None);
        assert!(!project.join(FILE).exists());
    }
}
