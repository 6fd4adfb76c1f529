//! What is allowed on one host: a product of ports, methods and paths, since a rule's parts hold independently.

use super::BadRule;
use crate::config::routes::{AnyOr, Auth};
use crate::policy::{Method, PathPattern};
use ipnet::IpNet;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What is allowed on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct HostCapability {
    /// The ports; 80 is plain http.
    pub(super) ports: BTreeSet<u16>,
    /// Nothing for every method.
    pub(super) methods: Option<Vec<Method>>,
    /// Nothing for every path.
    pub(super) paths: Option<Vec<PathPattern>>,
    pub(super) credential: Option<Auth>,
    pub(super) encoded_slash: bool,
    pub(super) inspected: bool,
    /// Private ranges that it may be at.
    pub(super) addresses: BTreeSet<IpNet>,
    pub(super) until: Option<Date>,
    /// No egress-proxy refuses it.
    pub(super) git_push: bool,
}

/// The same as it is kept in the record.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    ports: BTreeSet<u16>,
    methods: AnyOr,
    paths: AnyOr,
    credential: Option<Auth>,
    encoded_slash: bool,
    inspected: bool,
    addresses: BTreeSet<IpNet>,
    until: Option<Date>,
    git_push: bool,
}

impl From<HostCapability> for Written {
    fn from(host: HostCapability) -> Self {
        fn texts<T: ToString>(list: Option<Vec<T>>) -> AnyOr {
            list.map_or(AnyOr::Any, |list| AnyOr::Only(list.iter().map(T::to_string).collect()))
        }
        let HostCapability {
            ports,
            methods,
            paths,
            credential,
            encoded_slash,
            inspected,
            addresses,
            until,
            git_push,
        } = host;
        let (methods, paths) = (texts(methods), texts(paths));
        Self { ports, methods, paths, credential, encoded_slash, inspected, addresses, until, git_push }
    }
}

impl TryFrom<Written> for HostCapability {
    type Error = BadRule;

    fn try_from(written: Written) -> Result<Self, BadRule> {
        let Written {
            ports,
            methods,
            paths,
            credential,
            encoded_slash,
            inspected,
            addresses,
            until,
            git_push,
        } = written;
        let (methods, paths) = (self::methods(&methods)?, self::paths(&paths, encoded_slash)?);
        Ok(Self { ports, methods, paths, credential, encoded_slash, inspected, addresses, until, git_push })
    }
}

pub(super) fn methods(list: &AnyOr) -> Result<Option<Vec<Method>>, BadRule> {
    let AnyOr::Only(list) = list else { return Ok(None) };
    Ok(Some(list.iter().map(|text| Method::parse(text)).collect::<Result<_, _>>()?))
}

pub(super) fn paths(list: &AnyOr, encoded_slash: bool) -> Result<Option<Vec<PathPattern>>, BadRule> {
    let AnyOr::Only(list) = list else { return Ok(None) };
    Ok(Some(list.iter().map(|text| PathPattern::parse(text, encoded_slash)).collect::<Result<_, _>>()?))
}

/// The requests of a host on one port and below one path.
pub(super) struct Grant<'a> {
    port: u16,
    /// Nothing for every path.
    path: Option<&'a PathPattern>,
    /// Nothing for every method.
    methods: Option<Vec<&'a Method>>,
}

impl HostCapability {
    /// Every grant.
    pub(super) fn grants(&self) -> impl Iterator<Item = Grant<'_>> {
        let paths: Vec<Option<&PathPattern>> = match &self.paths {
            None => vec![None],
            Some(list) => list.iter().map(Some).collect(),
        };
        self.ports.iter().flat_map(move |port| {
            let methods = self.methods.as_ref();
            paths.clone().into_iter().map(move |path| Grant {
                port: *port,
                path,
                methods: methods.map(|list| list.iter().collect()),
            })
        })
    }

    /// What of `grant` this host does not already allow.
    pub(super) fn beyond<'a>(&self, grant: Grant<'a>) -> Option<Grant<'a>> {
        if !self.ports.contains(&grant.port) || !self.covers_path(grant.path) {
            return Some(grant);
        }
        let Some(old) = &self.methods else { return None };
        let Some(new) = grant.methods else { return Some(grant) };
        let more: Vec<&Method> = new.into_iter().filter(|method| !old.contains(method)).collect();
        (!more.is_empty()).then_some(Grant { methods: Some(more), ..grant })
    }

    fn covers_path(&self, path: Option<&PathPattern>) -> bool {
        match (&self.paths, path) {
            (None, _) => true,
            (Some(_), None) => false,
            // An encoded slash is a property of its own, so both are read under the old side's rule.
            (Some(old), Some(new)) => PathPattern::parse(new.as_str(), self.encoded_slash)
                .is_ok_and(|new| old.iter().any(|old| old.covers(&new))),
        }
    }
}

impl Grant<'_> {
    /// `GET, HEAD https://api.example/repos/**`.
    pub(super) fn describe(&self, host: &str) -> String {
        let names = |list: &Vec<&Method>| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let methods = self.methods.as_ref().map_or_else(|| "any method".to_owned(), names);
        let origin = match self.port {
            443 => format!("https://{host}"),
            80 => format!("http://{host}"),
            port => format!("https://{host}:{port}"),
        };
        let path = self.path.map(PathPattern::as_str).unwrap_or_default().trim_end_matches('/');
        format!("{methods} {origin}{path}/**")
    }
}
