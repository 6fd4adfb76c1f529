//! Making what is missing in a state, and leaving alone what is there.

use super::{DOCKERFILE, ImageBinary, State, StateError};
use crate::clock::Clock;
use crate::pki::{self, CaKind, CertificateAuthority, PkiError};
use crate::tree::{Folder, Staged, TreeError};
use camino::Utf8Path;
use jiff::Timestamp;

/// What an agent is told about its bottle.
const GUIDE: &str = include_str!("../../templates/agents.md");

/// How an MCP client finds supervise, in the form that Claude Code's `--mcp-config` and others' `.mcp.json` have.
const MCP_CONFIG: &str = r#"{
  "mcpServers": {
    "bottle": {
      "type": "http",
      "url": "http://bottle.internal/mcp"
    }
  }
}
"#;

/// What a bottle needs in its state.
#[derive(Debug)]
pub struct MintRequest<'a> {
    /// The bottle's name, for the CAs' subjects.
    pub bottle: &'a str,
    /// Whether there is an egress-proxy. Without one the agent sees pipelock's certificates.
    pub egress_proxy: bool,
    /// PEM of what pipelock trusts besides the public roots; an agent without an egress-proxy needs it as well.
    pub extra_ca: Option<&'a str>,
    /// Whether a service takes proposals: its folders, and how the agent's client finds it.
    pub supervise: bool,
    /// The program for the image; nothing where the manifest names a published image.
    pub image: Option<&'a ImageBinary>,
    /// Whether to replace CAs that are still good.
    pub rotate: bool,
}

/// What happened to a CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was there, and has enough time left.
    Kept,
    /// There was none.
    Minted,
    /// Less than a third of its time was left.
    Renewed,
    /// It was replaced because somebody asked.
    Rotated,
    /// What was there was of no use.
    Repaired(String),
}

/// A CA as render's table shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// SHA-256 of the certificate, in hexadecimal.
    pub fingerprint: String,
    /// The end of its validity.
    pub not_after: Timestamp,
    /// What happened to it.
    pub event: Event,
}

/// A state that has all it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minted {
    /// The CA that the agent trusts; nothing without an egress-proxy.
    pub agent: Option<Authority>,
    /// The CA that egress-proxy trusts, or the agent where there is no egress-proxy.
    pub pipelock: Authority,
    /// Whether the image's content changed: the next `up` builds it.
    pub image_changed: bool,
}

impl Minted {
    /// Names the CAs in sixteen hexadecimal digits each: when this text changes, what has them loaded must be
    /// recreated.
    #[must_use]
    pub fn label(&self) -> String {
        let short = |ca: &Authority| ca.fingerprint[..16].to_owned();
        let agent = self.agent.as_ref().map(short).into_iter();
        agent.chain([short(&self.pipelock)]).collect::<Vec<_>>().join("-")
    }
}

impl State {
    /// Makes what is missing, renews what is due, and leaves every file that would not change as it is. All new
    /// files are on disk before the first one takes its name.
    pub fn mint(&self, wants: &MintRequest<'_>, clock: &Clock) -> Result<Minted, StateError> {
        let place = |name: &str, mode| self.place(name, mode);
        let (proxy, pipelock) = (place("egress-proxy", 0o700)?, place("pipelock", 0o700)?);
        let (trust, image) = (place("trust", 0o755)?, place("image", 0o755)?);
        // Mounted as it is: the folder above it stays closed to everybody.
        place("audit", 0o755)?;
        for proxy in ["audit/egress-proxy", "audit/pipelock"] {
            place(proxy, 0o700)?;
        }
        if wants.supervise {
            place("supervise", 0o755)?;
            for folder in ["supervise/proposals", "supervise/decisions"] {
                place(folder, 0o700)?;
            }
        }
        let agent_ca =
            if wants.egress_proxy { Some(authority(&proxy, CaKind::Agent, wants, clock)?) } else { None };
        let (pipelock_ca, event) = authority(&pipelock, CaKind::Pipelock, wants, clock)?;

        let mut batch = Batch::default();
        if let Some((ca, _)) = &agent_ca {
            batch.pair(&proxy, "agent-ca", ca, self.owner())?;
        }
        batch.pair(&pipelock, "pipelock-ca", &pipelock_ca, self.owner())?;
        batch.public(&proxy, "pipelock-ca.pem", pipelock_ca.certificate_pem().as_bytes(), self.owner())?;
        let shown = agent_ca.as_ref().map_or(&pipelock_ca, |(ca, _)| ca).certificate_pem();
        batch.trust(&trust, &shown, wants.extra_ca.filter(|_| !wants.egress_proxy))?;
        if wants.supervise {
            batch.public(&trust, "mcp.json", MCP_CONFIG.as_bytes(), None)?;
        }
        let image_changed = batch.image(&image, wants.image)?;
        batch.commit()?;

        let report = |(ca, event): (CertificateAuthority, Event)| Authority {
            fingerprint: ca.fingerprint(),
            not_after: ca.not_after(),
            event,
        };
        Ok(Minted { agent: agent_ca.map(report), pipelock: report((pipelock_ca, event)), image_changed })
    }

    /// A folder of the state, swept, with the mode and owner that it must have.
    fn place(&self, name: &str, mode: u32) -> Result<Folder, TreeError> {
        let folder = self.folder.make(Utf8Path::new(name))?;
        folder.sweep()?;
        folder.set_mode(mode)?;
        if let (Some(uid), 0o700) = (self.owner(), mode) {
            folder.set_owner(uid)?;
        }
        Ok(folder)
    }

    /// Whom the services' files must be given to, where that is not who runs this.
    fn owner(&self) -> Option<u32> {
        rustix::process::geteuid().is_root().then_some(self.user)
    }
}

/// The CA in `folder`, or a new one, and why.
fn authority(
    folder: &Folder,
    kind: CaKind,
    wants: &MintRequest<'_>,
    clock: &Clock,
) -> Result<(CertificateAuthority, Event), StateError> {
    let name = match kind {
        CaKind::Agent => "agent-ca",
        CaKind::Pipelock => "pipelock-ca",
    };
    let event = match load(folder, name)? {
        OldPair::Good(ca) if !wants.rotate && !ca.is_due_for_renewal(clock.now()) => {
            return Ok((ca, Event::Kept));
        }
        OldPair::Good(_) if wants.rotate => Event::Rotated,
        OldPair::Good(_) => Event::Renewed,
        OldPair::Nothing => Event::Minted,
        OldPair::Useless(why) => Event::Repaired(why),
    };
    Ok((CertificateAuthority::mint(kind, wants.bottle, clock)?, event))
}

/// The certificate and the key of a CA that a state has.
enum OldPair {
    Good(CertificateAuthority),
    Nothing,
    Useless(String),
}

fn load(folder: &Folder, name: &str) -> Result<OldPair, TreeError> {
    let read = |file: String| folder.read(&file);
    let (certificate, key) = (read(format!("{name}.pem"))?, read(format!("{name}-key.pem"))?);
    Ok(match (certificate, key.map(zeroize::Zeroizing::new)) {
        (None, None) => OldPair::Nothing,
        (Some(_), None) => OldPair::Useless(format!("{name}-key.pem was missing")),
        (None, Some(_)) => OldPair::Useless(format!("{name}.pem was missing")),
        (Some(certificate), Some(key)) => match parse(&certificate, &key) {
            Ok(ca) => OldPair::Good(ca),
            Err(error) => OldPair::Useless(error.to_string()),
        },
    })
}

fn parse(certificate: &[u8], key: &[u8]) -> Result<CertificateAuthority, PkiError> {
    let certificate = std::str::from_utf8(certificate).map_err(|e| PkiError::Certificate(e.to_string()))?;
    let key = std::str::from_utf8(key).map_err(|e| PkiError::Key(e.to_string()))?;
    CertificateAuthority::load(certificate, key)
}

/// Files that are staged together and committed together, in the order in which they were added.
#[derive(Default)]
struct Batch<'a>(Vec<Staged<'a>>);

impl<'a> Batch<'a> {
    fn add(
        &mut self,
        folder: &'a Folder,
        name: &str,
        bytes: &[u8],
        mode: u32,
        owner: Option<u32>,
    ) -> Result<bool, TreeError> {
        if folder.is_as_wanted(name, bytes, mode, owner)? {
            return Ok(false);
        }
        self.0.push(folder.stage_for(name, bytes, mode, owner)?);
        Ok(true)
    }

    /// A CA's key and certificate.
    fn pair(
        &mut self,
        folder: &'a Folder,
        name: &str,
        ca: &CertificateAuthority,
        owner: Option<u32>,
    ) -> Result<(), StateError> {
        self.add(folder, &format!("{name}-key.pem"), ca.key_sec1_pem()?.as_bytes(), 0o600, owner)?;
        self.public(folder, &format!("{name}.pem"), ca.certificate_pem().as_bytes(), owner)
    }

    fn public(
        &mut self,
        folder: &'a Folder,
        name: &str,
        bytes: &[u8],
        owner: Option<u32>,
    ) -> Result<(), StateError> {
        self.add(folder, name, bytes, 0o644, owner)?;
        Ok(())
    }

    /// What the agent sees. The Java store has other bytes each time, so it follows the bundle, which is written
    /// last.
    fn trust(&mut self, folder: &'a Folder, ca: &str, extra: Option<&str>) -> Result<(), StateError> {
        let extra: Vec<&str> = [ca].into_iter().chain(extra).collect();
        let bundle = pki::ca_bundle_pem(&extra);
        let same = folder.is_as_wanted("ca-bundle.pem", bundle.as_bytes(), 0o644, None)?;
        if !same || folder.entry("truststore.p12")?.is_none() {
            self.0.push(folder.stage("truststore.p12", &pki::java_trust_store(&extra)?, 0o644)?);
        }
        self.add(folder, "browser-policy.json", &pki::browser_policy(&extra)?, 0o644, None)?;
        self.add(folder, "agents.md", GUIDE.as_bytes(), 0o644, None)?;
        self.add(folder, "ca-bundle.pem", bundle.as_bytes(), 0o644, None)?;
        Ok(())
    }

    /// The build context; says whether it changed.
    fn image(&mut self, folder: &'a Folder, binary: Option<&ImageBinary>) -> Result<bool, StateError> {
        let Some(binary) = binary else { return Ok(false) };
        let dockerfile = self.add(folder, "Dockerfile", DOCKERFILE.as_bytes(), 0o644, None)?;
        let program = self.add(folder, "bottle", binary.bytes(), 0o755, None)?;
        Ok(dockerfile || program)
    }

    fn commit(self) -> Result<(), TreeError> {
        self.0.into_iter().try_for_each(Staged::commit)
    }
}
