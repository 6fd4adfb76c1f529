//! Where everything is: names, addresses and files of a run. The run has a network namespace of its own, so that the
//! ports are free and the names mean nothing outside.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

/// The host that is asked, with a credential on its route.
pub(crate) const HOST: &str = "api.bench.test";
/// Below it are many hosts, by a wildcard.
pub(crate) const MANY: &str = "many.bench.test";
/// Its address: no loopback address, since pipelock dials none.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 99, 7, 1);
/// The credential that a proxy puts on.
pub(crate) const TOKEN: &str = "bench-9c41-credential-that-the-proxy-puts-on";
/// The name of the token in the manifest.
pub(crate) const TOKEN_REF: &str = "BENCH_TOKEN";

/// The origin speaks TLS here.
pub(crate) const ORIGIN: SocketAddr = SocketAddr::new(IpAddr::V4(ADDRESS), 443);
/// The origin speaks CONNECT here, and TLS afterwards: the next hop of egress-proxy when it is measured alone.
pub(crate) const NEXT_HOP: SocketAddr = SocketAddr::new(IpAddr::V4(ADDRESS), 8888);
/// The origin says here how many connections and requests there were.
pub(crate) const COUNTS: SocketAddr = SocketAddr::new(IpAddr::V4(ADDRESS), 8889);

/// A port of loopback.
pub(crate) const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// What is in the folder of a run.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
}

impl Place {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The CA of the origin's certificate.
    pub(crate) fn origin_ca(&self) -> PathBuf {
        self.path("project/origin-ca.pem")
    }

    /// The CA of floor and hudsucker; its key is beside it.
    pub(crate) fn peer_ca(&self) -> PathBuf {
        self.path("peer-ca.pem")
    }

    pub(crate) fn peer_ca_key(&self) -> PathBuf {
        self.path("peer-ca-key.pem")
    }

    /// A certificate and a key of `owner`.
    pub(crate) fn leaf(&self, owner: &str) -> (PathBuf, PathBuf) {
        (self.path(&format!("{owner}-leaf.pem")), self.path(&format!("{owner}-leaf-key.pem")))
    }
}
