//! What one set of capabilities has that another has not, in both directions. [`changes`] of two sets, and of the same
//! two the other way round, mirror each other.

use super::{
    Account, Capabilities, Capability, Change, Engine, HostCapability, Image, Limits, Mount,
    host::{Grant, holders},
    secrets::Secrets,
    service,
};
use crate::policy::{
    ClientFields, ContentRules, HostPattern, HostRule, OnSecret, PushRules, QueryRule, Route, is_model_api,
};
use crate::stack::DEFAULT_HOME;
use camino::{Utf8Path, Utf8PathBuf};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

/// How `new` differs from `old`: what the agent can newly do first, the dangerous first. Without an `old` side
/// everything that the agent can do is new.
#[must_use]
pub fn changes(old: Option<&Capabilities>, new: &Capabilities) -> Vec<Change> {
    sorted(match old {
        Some(old) => compare(old, new),
        None => compare(&Capabilities::nothing(new), new).into_iter().filter_map(at_first).collect(),
    })
}

/// What a new bottle lets its agent do, each host with its credential: there is no record of it, and nobody asked.
#[must_use]
pub fn introduced(new: &Capabilities) -> Vec<Change> {
    let added = |change: Change| match change {
        Change::Changed { new, .. } => Change::Added { new },
        other => other,
    };
    let changes = compare(&Capabilities::nothing(new), new).into_iter();
    sorted(changes.filter(|change| change.risk().is_some()).map(added).collect())
}

/// What the agent can newly do first, the dangerous first; within a class, by name.
fn sorted(mut changes: Vec<Change>) -> Vec<Change> {
    changes.sort_by_key(|change| (change.risk().is_none(), change.risk()));
    changes
}

/// A first look has no "so far", and asks about no credential that the requests name.
fn at_first(change: Change) -> Option<Change> {
    change.risk()?;
    match change {
        Change::Added { new: Capability::Credential { .. } } | Change::Removed { .. } => None,
        Change::Added { new } | Change::Changed { new, .. } => Some(Change::Added { new }),
    }
}

fn compare(old: &Capabilities, new: &Capabilities) -> Vec<Change> {
    let Capabilities {
        hosts,
        mounts,
        image,
        user,
        runtime,
        workdir,
        command,
        limits: Limits { memory, millicpus, pids },
        root_writable,
        home: new_home,
        environment,
        published,
        dlp_warns,
        seed_phrases,
        secrets,
        services,
        engine,
        network,
        extra_ca,
        supervise,
    } = new;
    let mut changes = Changes(Vec::new());
    self::hosts(&old.hosts, hosts, &mut changes);
    self::mounts(&old.mounts, mounts, &mut changes);
    changes.value(&old.image, image, |image| Capability::Image { image });
    changes.value(&old.user, user, |user| Capability::User { user });
    changes.value(&old.runtime, runtime, |runtime| Capability::Runtime { runtime });
    changes.value(&old.workdir, workdir, |workdir| Capability::Workdir { workdir });
    changes.value(&old.command, command, |command| Capability::Command { command });
    changes.value(&old.limits.memory, memory, |bytes| Capability::Memory { bytes });
    changes.value(&old.limits.millicpus, millicpus, |millicpus| Capability::Processors { millicpus });
    changes.value(&old.limits.pids, pids, |pids| Capability::Processes { pids });
    changes.flag(old.root_writable, *root_writable, Capability::WritableRoot);
    let home = |path: &Option<Utf8PathBuf>| path.clone().map(|path| Capability::Home { path });
    changes.pair(home(&old.home), home(new_home));
    let names: BTreeSet<&String> = old.environment.keys().chain(environment.keys()).collect();
    for name in names {
        let variable = |variables: &BTreeMap<String, String>| {
            let value = variables.get(name)?.clone();
            Some(Capability::Variable { name: name.clone(), value })
        };
        changes.pair(variable(&old.environment), variable(environment));
    }
    let ports: BTreeSet<&u16> = old.published.keys().chain(published.keys()).collect();
    for port in ports {
        let shown = |ports: &BTreeMap<u16, u16>| {
            Some(Capability::Published { port: *port, agent_port: *ports.get(port)? })
        };
        changes.pair(shown(&old.published), shown(published));
    }
    changes.flag(old.dlp_warns, *dlp_warns, Capability::FindingsPass);
    changes.flag(!old.seed_phrases, !seed_phrases, Capability::SeedPhrasesPass);
    changes.0.extend(secrets.beyond(&old.secrets).into_iter().map(|new| Change::Added { new }));
    changes.0.extend(old.secrets.beyond(secrets).into_iter().map(|old| Change::Removed { old }));
    for (name, old, new) in service::differences(&old.services, services) {
        let capability = |part| Capability::Service { service: name.clone(), part };
        changes.pair(old.map(&capability), new.map(&capability));
    }
    changes.value(&old.engine, engine, |engine| Capability::Engine { engine });
    changes.value(&old.network, network, |network| Capability::Network { network });
    let ca = |sha256: &Option<String>| sha256.clone().map(|sha256| Capability::ExtraCa { sha256 });
    changes.pair(ca(&old.extra_ca), ca(extra_ca));
    changes.flag(old.supervise, *supervise, Capability::Supervise);
    changes.0
}

impl Account {
    /// What a manifest that names no user gives.
    fn or_owner(self) -> Self {
        match self {
            Self::Owner { of } => Self::Owner { of },
            Self::Named(_) | Self::Image => Self::Owner { of: Utf8PathBuf::new() },
        }
    }
}

impl Capabilities {
    /// What an agent can do before there is a bottle. What a manifest that says nothing gives is in here, too.
    fn nothing(new: &Self) -> Self {
        Self {
            hosts: BTreeMap::new(),
            mounts: BTreeMap::new(),
            image: Image::Named(String::new()),
            user: new.user.clone().or_owner(),
            runtime: None,
            workdir: None,
            command: Vec::new(),
            limits: Limits { memory: Some(0), millicpus: None, pids: 4096 },
            root_writable: true,
            home: new.home.clone().filter(|home| home == DEFAULT_HOME), // a manifest that says nothing has this one
            environment: BTreeMap::new(),
            published: BTreeMap::new(),
            dlp_warns: false,
            seed_phrases: new.seed_phrases, // decided by the hosts, and said by a warning
            secrets: Secrets::default(),
            services: BTreeMap::new(),
            engine: Engine::default(),
            network: None,
            extra_ca: None,
            supervise: false,
        }
    }
}

struct Changes(Vec<Change>);

impl Changes {
    fn pair(&mut self, old: Option<Capability>, new: Option<Capability>) {
        self.0.extend(match (old, new) {
            (Some(old), Some(new)) => (old != new).then_some(Change::Changed { old, new }),
            (Some(old), None) => Some(Change::Removed { old }),
            (None, Some(new)) => Some(Change::Added { new }),
            (None, None) => None,
        });
    }

    fn value<T: Clone + PartialEq>(&mut self, old: &T, new: &T, capability: impl Fn(T) -> Capability) {
        if old != new {
            self.pair(Some(capability(old.clone())), Some(capability(new.clone())));
        }
    }

    fn flag(&mut self, old: bool, new: bool, capability: Capability) {
        if old != new {
            self.pair(old.then(|| capability.clone()), new.then_some(capability));
        }
    }
}

type Hosts = BTreeMap<String, HostCapability>;

/// What a side says of a host: by its name, or else by the wildcard above it, as a request is decided.
fn covering<'h>(hosts: &'h Hosts, name: &str) -> Option<Cow<'h, HostCapability>> {
    if let Some(exact) = hosts.get(name) {
        return Some(Cow::Borrowed(exact));
    }
    let host = HostPattern::parse(name).ok()?;
    let wildcard = hosts.get(&format!("*.{}", host.exact()?.parent()?))?;
    let mut covering = wildcard.clone();
    covering.rule.route.host = host;
    Some(Cow::Owned(covering))
}

fn hosts(old: &Hosts, new: &Hosts, changes: &mut Changes) {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let (before, after) = (covering(old, name), covering(new, name));
        let (before, after) = (before.as_deref(), after.as_deref());
        let beyond = |these: Option<&HostCapability>, those: Option<&HostCapability>| -> Vec<Capability> {
            let grants = these.into_iter().flat_map(HostCapability::grants);
            let beyond =
                |grant: Grant| those.map_or_else(|| vec![grant.clone()], |those| those.beyond(grant.clone()));
            let requests =
                |grant: Grant| these.map(|these| Capability::Requests(these.requests(grant, those)));
            grants.flat_map(beyond).filter_map(requests).collect()
        };
        changes.0.extend(beyond(after, before).into_iter().map(|new| Change::Added { new }));
        changes.0.extend(beyond(before, after).into_iter().map(|old| Change::Removed { old }));
        let credential = |host: Option<&HostCapability>, others: &Hosts| {
            let rule = &host?.rule;
            let auth = rule.auth.clone();
            if auth.is_none() && rule.guards_fields() {
                return None;
            }
            Some(match auth {
                Some(auth) => {
                    let elsewhere =
                        holders(others, &auth.token_ref).into_iter().filter(|it| it != name).collect();
                    Capability::Credential { host: name.clone(), auth, elsewhere }
                }
                None => Capability::OwnCredential { host: name.clone() },
            })
        };
        match (credential(before, new), credential(after, old)) {
            // A host without a credential is said by its requests.
            (None, Some(Capability::OwnCredential { .. })) if before.is_none() => {}
            (Some(Capability::OwnCredential { .. }), None) if after.is_none() => {}
            (before_it, it)
                if before.map(|it| (&it.rule.auth, it.rule.guards_fields()))
                    != after.map(|it| (&it.rule.auth, it.rule.guards_fields())) =>
            {
                changes.pair(before_it, it);
            }
            _ => {}
        }
        let closed = |host: &HostCapability| {
            let Route { until, query, content, .. } = host.rule.route.clone(); // said with the requests
            let route = Route { query, content, until, ..Route::open(host.rule.route.host.clone(), "") };
            // What a manifest that says nothing gives.
            let on_secret = is_model_api(name).then_some(OnSecret::Redact);
            HostCapability { rule: HostRule { on_secret, ..route.into() }, git_push: false }
        };
        match (before, after) {
            (Some(before), Some(after)) => properties(name, before, after, changes),
            (None, Some(after)) => properties(name, &closed(after), after, changes),
            (Some(before), None) => properties(name, before, &closed(before), changes),
            (None, None) => {}
        }
    }
}

fn properties(name: &str, old: &HostCapability, new: &HostCapability, changes: &mut Changes) {
    let HostCapability { rule: HostRule { route, auth: _, client, inspect, on_secret, addresses }, git_push } =
        new;
    let Route {
        source: _,
        host: _,
        ports: _, // these four are the grants
        methods: _,
        path_allowlist: _,
        deny_paths: _,
        query,
        content: ContentRules { graphql, rpc },
        websocket,
        push: push_now,
        encoded_slash,
        until,
        reason: _, // for people
    } = route;
    let (old, had_git_push) = (&old.rule, old.git_push);
    let host = || name.to_owned();
    changes.flag(had_git_push, *git_push, Capability::GitPush { host: host() });
    changes.flag(old.route.websocket, *websocket, Capability::WebSocket { host: host() });
    let push = |rules: &Option<PushRules>| {
        rules.clone().map(|rules| Capability::Push { host: host(), rules: Box::new(rules) })
    };
    changes.pair(push(&old.route.push), push(push_now));
    changes.flag(old.route.encoded_slash, *encoded_slash, Capability::EncodedSlash { host: host() });
    let ClientFields { credentials: _, pass_headers, pass_query } = client; // the first is said with the credential
    let fields = |names: &[String], query| -> Vec<Capability> {
        names.iter().map(|name| Capability::ClientField { host: host(), name: name.clone(), query }).collect()
    };
    for (old, new, query) in
        [(&old.client.pass_headers, pass_headers, false), (&old.client.pass_query, pass_query, true)]
    {
        let (old, new) = (fields(old, query), fields(new, query));
        changes
            .0
            .extend(new.iter().filter(|it| !old.contains(it)).map(|it| Change::Added { new: it.clone() }));
        changes
            .0
            .extend(old.iter().filter(|it| !new.contains(it)).map(|it| Change::Removed { old: it.clone() }));
    }
    changes.flag(!old.inspect, !inspect, Capability::Uninspected { host: host() });
    let removes = |on_secret: Option<OnSecret>| on_secret == Some(OnSecret::Redact);
    changes.flag(removes(old.on_secret), removes(*on_secret), Capability::SecretsRemoved { host: host() });
    for (these, those, is_new) in [(addresses, &old.addresses, true), (&old.addresses, addresses, false)] {
        for range in these.iter().filter(|range| !those.iter().any(|known| known.contains(*range))) {
            let range = Capability::PrivateAddresses { host: host(), range: *range };
            let (old, new) = if is_new { (None, Some(range)) } else { (Some(range), None) };
            changes.pair(old, new);
        }
    }
    let names: BTreeSet<&String> = old.route.query.iter().chain(query).map(|rule| &rule.name).collect();
    for name in names {
        let of = |rules: &[QueryRule]| {
            rules.iter().find(|rule| rule.name == *name).map(|rule| rule.values.clone())
        };
        let capability = |values| Capability::Query { host: host(), name: name.clone(), values };
        changes.value(&of(&old.route.query), &of(query), capability);
    }
    let old_content = &old.route.content;
    changes.value(&old_content.graphql, graphql, |rule| Capability::Graphql {
        host: host(),
        rule: rule.map(Box::new),
    });
    changes.value(&old_content.rpc, rpc, |rule| Capability::Rpc { host: host(), rule: rule.map(Box::new) });
    changes.value(&old.route.until, until, |date| Capability::Until { host: host(), date });
}

type Mounts = BTreeMap<Utf8PathBuf, Mount>;

/// What is seen at a place is compared, not what is mounted there: a mount inside another one covers or protects.
fn mounts(old: &Mounts, new: &Mounts, changes: &mut Changes) {
    let targets: BTreeSet<&Utf8PathBuf> = old.keys().chain(new.keys()).collect();
    for target in targets {
        let (before, after) = (seen(target, old), seen(target, new));
        if before == after || is_implied(target, old, new) || is_implied(target, new, old) {
            continue;
        }
        let capability = |(real, writable): (Utf8PathBuf, bool), mounts: &Mounts| {
            let target = target.clone();
            match mounts.get(&target) {
                Some(mount) => Capability::Mount { target, mount: mount.clone() },
                None => Capability::Uncovered { target, real, writable },
            }
        };
        changes.pair(before.map(|it| capability(it, old)), after.map(|it| capability(it, new)));
    }
}

/// Whether the line of another mount around it says what a mount adds: it shows the same there, and the other side has
/// no mount between the two. A read-only mount inside a writable one adds nothing where the other side shows neither.
fn is_implied(target: &Utf8Path, mounts: &Mounts, others: &Mounts) -> bool {
    let Some(mount) = mounts.get(target) else { return false };
    let Some(around) = nearest(target, mounts, |it| it != target) else { return false };
    let Some((real, writable)) = shown_at(target, mounts, around) else { return false };
    !mount.git
        && real == mount.real
        && nearest(target, others, |_| true) == nearest(around, others, |_| true)
        && (writable == mount.writable
            || writable && seen(target, others).is_none_or(|(other, _)| other != real))
}

/// The real place that is seen at `target`, and whether the agent can write there.
pub(super) fn seen(target: &Utf8Path, mounts: &Mounts) -> Option<(Utf8PathBuf, bool)> {
    shown_at(target, mounts, nearest(target, mounts, |_| true)?)
}

/// The real place that a mount at `target` lies on, where that is in another mount that counts, and the target of that.
pub(super) fn under<'a>(
    target: &Utf8Path,
    mounts: &'a Mounts,
    counts: impl Fn(&Utf8Path) -> bool,
) -> Option<(Utf8PathBuf, &'a Utf8Path)> {
    let around = nearest(target, mounts, |other| other != target && counts(other))?;
    let (place, _) = shown_at(target, mounts, around)?;
    Some((place, around))
}

/// The target of the mount that is seen at `target`: the deepest one around it.
fn nearest<'a>(
    target: &Utf8Path,
    mounts: &'a Mounts,
    counts: impl Fn(&Utf8Path) -> bool,
) -> Option<&'a Utf8Path> {
    let around = mounts.keys().filter(|other| counts(other) && target.starts_with(other));
    around.max_by_key(|other| other.components().count()).map(Utf8PathBuf::as_path)
}

/// The real place that the mount at `around` shows at `target`, and whether the agent can write there.
fn shown_at(target: &Utf8Path, mounts: &Mounts, around: &Utf8Path) -> Option<(Utf8PathBuf, bool)> {
    let mount = mounts.get(around)?;
    let below = target.strip_prefix(around).ok()?;
    let real = if below.as_str().is_empty() { mount.real.clone() } else { mount.real.join(below) };
    Some((real, mount.writable))
}
