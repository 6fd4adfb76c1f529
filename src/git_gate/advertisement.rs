//! What a server says of its refs before a push (gitprotocol-http(5)), with the capabilities that a push may ask for here.
//! Only the lines up to the first ref are read and changed; the rest passes as it comes.

use super::{
    capabilities::{CapabilityError, offered},
    pkt_line::{self, Pkt, PktError},
};

/// Lines before the first ref: the service, a flush, a version.
const MOST_LINES: usize = 4;

/// Why an answer is no advertisement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdvertisementError {
    /// No pkt-lines.
    #[error(transparent)]
    Pkt(#[from] PktError),
    /// It ends early, or has no capabilities where they belong.
    #[error("it is no advertisement of git's protocol version 0 or 1")]
    Other,
    /// The repository can't be pushed to here.
    #[error(transparent)]
    Capability(#[from] CapabilityError),
}

/// Reads the beginning of an advertisement as it comes.
#[derive(Debug, Default)]
pub struct AdvertisementReader {
    bytes: Vec<u8>,
    out: Vec<u8>,
    lines: usize,
    service: bool,
}

impl AdvertisementReader {
    /// Takes more of the answer. Once the capabilities are there it gives all so far, rewritten; what follows passes.
    pub fn push(&mut self, data: &[u8]) -> Result<Option<Vec<u8>>, AdvertisementError> {
        self.bytes.extend_from_slice(data);
        loop {
            let Some((pkt, length)) = pkt_line::read(&self.bytes)? else { return Ok(None) };
            self.lines += 1;
            if self.lines > MOST_LINES {
                return Err(AdvertisementError::Other);
            }
            let done = match pkt {
                Pkt::Flush if self.lines == 2 => {
                    self.out.extend_from_slice(pkt_line::FLUSH);
                    false
                }
                Pkt::Data(line) if self.lines == 1 && trimmed(line) == b"# service=git-receive-pack" => {
                    self.service = true;
                    pkt_line::write(line, &mut self.out);
                    false
                }
                Pkt::Data(line) if self.service && self.lines == 3 && trimmed(line) == b"version 1" => {
                    pkt_line::write(line, &mut self.out);
                    false
                }
                Pkt::Data(line) if self.service && self.lines >= 3 => {
                    if line.starts_with(b"ERR ") {
                        pkt_line::write(line, &mut self.out);
                    } else {
                        pkt_line::write(&rewritten(line)?, &mut self.out);
                    }
                    true
                }
                _ => return Err(AdvertisementError::Other),
            };
            self.bytes.drain(..length);
            if done {
                self.out.append(&mut self.bytes);
                return Ok(Some(std::mem::take(&mut self.out)));
            }
        }
    }
}

/// `ID NAME NUL CAPABILITIES`.
fn rewritten(line: &[u8]) -> Result<Vec<u8>, AdvertisementError> {
    let nul = line.iter().position(|byte| *byte == 0).ok_or(AdvertisementError::Other)?;
    let (first, capabilities) = (&line[..=nul], trimmed(&line[nul + 1..]));
    Ok([first, &offered(capabilities)?, b"\n"].concat())
}

fn trimmed(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "1111111111111111111111111111111111111111";

    fn sent(lines: &[Option<&str>]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in lines {
            match line {
                Some(line) => pkt_line::write(line.as_bytes(), &mut out),
                None => out.extend_from_slice(pkt_line::FLUSH),
            }
        }
        out
    }

    fn through(bytes: &[u8]) -> Result<Option<Vec<u8>>, AdvertisementError> {
        AdvertisementReader::default().push(bytes)
    }

    const SERVICE: Option<&str> = Some("# service=git-receive-pack\n");

    #[test]
    fn capabilities_are_changed_and_nothing_else() {
        let first = format!("{ID} refs/heads/main\0report-status push-cert=x push-options agent=git/2\n");
        let offered = format!("{ID} refs/heads/main\0report-status agent=git/2 no-thin\n");
        let other = format!("{ID} refs/heads/x\n");
        for version in [None, Some("version 1\n")] {
            let lines = |first| {
                let mut lines = vec![SERVICE, None];
                lines.extend(version.map(Some));
                lines.extend([Some(first), Some(other.as_str()), None]);
                lines
            };
            assert_eq!(through(&sent(&lines(&first))).unwrap().unwrap(), sent(&lines(&offered)));
        }
        let empty = format!("{} capabilities^{{}}\0report-status\n", "0".repeat(40));
        assert_eq!(
            through(&sent(&[SERVICE, None, Some(&empty), None])).unwrap().unwrap(),
            sent(&[SERVICE, None, Some(&empty.replace("status\n", "status no-thin\n")), None])
        );
        let error = sent(&[SERVICE, None, Some("ERR no such repository")]);
        assert_eq!(through(&error).unwrap().unwrap(), error);
    }

    #[test]
    fn what_is_none_is_refused() {
        let first = format!("{ID} refs/heads/main\0report-status\n");
        let sha256 = format!("{} refs/heads/main\0object-format=sha256\n", "1".repeat(64));
        let other = Err(AdvertisementError::Other);
        assert_eq!(through(&sent(&[Some("# service=git-upload-pack\n"), None, Some(&first)])), other);
        assert_eq!(through(&sent(&[Some(&first), None])), other);
        assert_eq!(through(&sent(&[None, Some(&first)])), other);
        assert_eq!(through(&sent(&[SERVICE, None, Some("version 2\n")])), other);
        assert_eq!(through(&sent(&[SERVICE, None, None])), other);
        assert_eq!(through(&sent(&[SERVICE, None, Some("version 1\n"), Some("version 1\n")])), other);
        assert_eq!(through(&sent(&[SERVICE, None, Some("refs/heads/main")])), other);
        assert_eq!(through(b"<html>"), Err(AdvertisementError::Pkt(PktError::Length)));
        assert_eq!(
            through(&sent(&[SERVICE, None, Some(&sha256)])),
            Err(CapabilityError::ObjectFormat("sha256".to_owned()).into())
        );
        assert_eq!(through(&sent(&[SERVICE, None])), Ok(None));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_it_is_cut(cuts in prop::collection::vec(1_usize..30, 0..30)) {
            let first = format!("{ID} refs/heads/main\0report-status push-options\n");
            let whole = sent(&[SERVICE, None, Some(&first), Some(&format!("{ID} refs/heads/x\n")), None]);
            let (mut reader, mut at, mut out, mut passes) = (AdvertisementReader::default(), 0_usize, Vec::new(), false);
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let piece = &whole[at..at.saturating_add(cut).min(whole.len())];
                at += piece.len();
                if passes {
                    out.extend_from_slice(piece);
                } else if let Some(head) = reader.push(piece).unwrap() {
                    out.extend(head);
                    passes = true;
                }
            }
            prop_assert_eq!(Some(out), through(&whole).unwrap());
        }
    }
}
