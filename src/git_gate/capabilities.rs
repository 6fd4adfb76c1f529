//! The capabilities of a push (gitprotocol-capabilities(5)): those that are known to change nothing but how commands, pack
//! and answer are written. A server offers no other one to the agent, and a push asks for no other one.

/// What a client may ask for. `push-options` are read by what the forge does with a push (it opens and merges requests by
/// them), and what `push-cert` signs is not read here.
const KNOWN: &[&str] = &[
    "report-status",
    "report-status-v2",
    "side-band-64k",
    "quiet",
    "atomic",
    "ofs-delta",
    "delete-refs",
    "object-format",
    "agent",
    "session-id",
];

/// The longest value: a name of a program.
const LONGEST_VALUE: usize = 256;

/// What a push asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// The result is reported, in either version.
    pub report_status: bool,
    /// The report is wrapped, and lines for people may come beside it.
    pub side_band: bool,
    /// As they came.
    pub text: Vec<u8>,
}

/// A capability that is not passed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CapabilityError {
    /// `object-format=sha256`.
    #[error(
        "repositories in the object format {0} are not read here, only those in sha1: a person pushes from the host"
    )]
    ObjectFormat(String),
    /// `push-options`.
    #[error(
        "push options (`git push -o`) are not passed on: what a forge does by them is not decided on by refs; push without"
    )]
    PushOptions,
    /// `push-cert`.
    #[error("a signed push is not passed on: push without `--signed`")]
    PushCert,
    /// Any other one.
    #[error("the capability `{0}` is not known here: a newer git may know how to push without it")]
    Unknown(String),
    /// A value with a space, a control character, or no end.
    #[error("the value of the capability `{0}` is not a name of a program")]
    Value(String),
}

impl Capabilities {
    /// Reads what follows the NUL of the first command.
    pub fn read(text: &[u8]) -> Result<Self, CapabilityError> {
        let mut found = Self { text: text.to_owned(), ..Self::default() };
        for word in text.split(|byte| *byte == b' ').filter(|word| !word.is_empty()) {
            let mut parts = word.splitn(2, |byte| *byte == b'=');
            let name = shown(parts.next().unwrap_or_default());
            let value = parts.next();
            let sound = value.unwrap_or_default();
            if sound.len() > LONGEST_VALUE || !sound.iter().all(u8::is_ascii_graphic) {
                return Err(CapabilityError::Value(name));
            }
            match (name.as_str(), value) {
                ("report-status" | "report-status-v2", None) => found.report_status = true,
                ("side-band-64k", None) => found.side_band = true,
                ("object-format", Some(other)) if other != b"sha1" => {
                    return Err(CapabilityError::ObjectFormat(shown(other)));
                }
                ("push-options", _) => return Err(CapabilityError::PushOptions),
                ("push-cert", _) => return Err(CapabilityError::PushCert),
                ("agent" | "session-id" | "object-format", Some(_))
                | ("quiet" | "atomic" | "ofs-delta" | "delete-refs", None) => {}
                _ => return Err(CapabilityError::Unknown(name)),
            }
        }
        Ok(found)
    }
}

/// What of a server's capabilities the agent is offered: the known ones, and that a pack must be whole in itself.
pub(super) fn offered(text: &[u8]) -> Result<Vec<u8>, CapabilityError> {
    let words = text.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let mut out: Vec<&[u8]> = Vec::new();
    for word in words {
        let name = word.split(|byte| *byte == b'=').next().unwrap_or_default();
        if name == b"object-format" && word != b"object-format=sha1" {
            let format = word.get(name.len() + 1..).unwrap_or_default();
            return Err(CapabilityError::ObjectFormat(shown(format)));
        }
        if KNOWN.iter().any(|known| known.as_bytes() == name) {
            out.push(word);
        }
    }
    out.push(b"no-thin");
    Ok(out.join(&b' '))
}

/// A few characters of what came, for people.
fn shown(text: &[u8]) -> String {
    text.escape_ascii().to_string().chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_ones_pass() {
        let all = b" report-status-v2 side-band-64k quiet atomic ofs-delta object-format=sha1 agent=git/2.39.5-Linux session-id=x";
        let read = Capabilities::read(all).unwrap();
        assert!(read.report_status && read.side_band && read.text == all);
        assert_eq!(Capabilities::read(b""), Ok(Capabilities::default()));
        let read = Capabilities::read(b"report-status").unwrap();
        assert!(read.report_status && !read.side_band);
    }

    #[test]
    fn all_others_are_refused_in_words() {
        let long = [b"agent=".as_slice(), &[b'x'; 300]].concat();
        let cases: &[(&[u8], &str)] = &[
            (b"object-format=sha256", "repositories in the object format sha256 are not read here"),
            (b"quiet push-options", "push options (`git push -o`) are not passed on"),
            (b"push-cert=nonce", "a signed push is not passed on"),
            (b"filter", "the capability `filter` is not known here"),
            (b"report-status=1", "the capability `report-status` is not known here"),
            (b"agent", "the capability `agent` is not known here"),
            (b"agent=a\tb", "the value of the capability `agent`"),
            (b"agent=a\0push-options", "the value of the capability `agent`"),
            (&long, "the value of the capability `agent`"),
            (b"\x1b[31m", "the capability `\\x1b[31m` is not known"),
        ];
        for (text, expected) in cases {
            let error = Capabilities::read(text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn a_server_offers_no_more_than_is_known() {
        let server =
            b"report-status report-status-v2 delete-refs side-band-64k quiet atomic ofs-delta push-options \
                       push-cert=123 new-thing object-format=sha1 agent=git/2";
        let offered = String::from_utf8(offered(server).unwrap()).unwrap();
        assert_eq!(
            offered,
            "report-status report-status-v2 delete-refs side-band-64k quiet atomic ofs-delta object-format=sha1 agent=git/2 \
             no-thin"
        );
        assert_eq!(super::offered(b"").unwrap(), b"no-thin");
        assert_eq!(
            super::offered(b"x object-format=sha256"),
            Err(CapabilityError::ObjectFormat("sha256".to_owned()))
        );
    }
}
