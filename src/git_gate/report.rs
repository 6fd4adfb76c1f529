//! The answer to a push that is refused here, as a server gives it (gitprotocol-pack(5), report-status): git prints it and
//! exits with an error.

use super::{commands::Commands, pkt_line};

/// What a line for people may hold.
const LONGEST_LINE: usize = 1000;
/// Lines for people.
const MOST_LINES: usize = 200;

/// Why a push is refused, for the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejection {
    /// What is wrong with the pack, or with the push as a whole; nothing where refs are refused.
    pub unpack: Option<String>,
    /// Refs by name, each with a reason of its own.
    pub refs: Vec<(String, String)>,
    /// Lines for people, which git prints behind `remote:`.
    pub remote: Vec<String>,
}

/// What every ref is told that has no reason of its own: a push passes as a whole, or nothing of it does.
const WITH_THE_OTHERS: &str = "refused together with the rest of this push: nothing was sent";

impl Rejection {
    /// The body of the answer; nothing where the client asked for no report.
    #[must_use]
    pub fn body(&self, commands: &Commands) -> Option<Vec<u8>> {
        if !commands.capabilities.report_status {
            return None;
        }
        let mut report = Vec::new();
        let unpack = self.unpack.as_deref().map_or_else(|| "ok".to_owned(), line);
        pkt_line::write(format!("unpack {unpack}\n").as_bytes(), &mut report);
        for command in &commands.list {
            let name = command.name.as_str();
            let own = self.refs.iter().find(|(of, _)| of == name).map(|(_, reason)| line(reason));
            let reason = own.or_else(|| self.unpack.is_some().then(|| "unpacker error".to_owned()));
            let reason = reason.unwrap_or_else(|| WITH_THE_OTHERS.to_owned());
            pkt_line::write(format!("ng {name} {reason}\n").as_bytes(), &mut report);
        }
        report.extend_from_slice(pkt_line::FLUSH);
        if !commands.capabilities.side_band {
            return Some(report);
        }
        let mut out = Vec::new();
        for text in self.remote.iter().take(MOST_LINES) {
            pkt_line::write(format!("\u{2}{}\n", line(text)).as_bytes(), &mut out);
        }
        for piece in report.chunks(60_000) {
            pkt_line::write(&[b"\x01", piece].concat(), &mut out);
        }
        out.extend_from_slice(pkt_line::FLUSH);
        Some(out)
    }
}

/// One line, with nothing that a terminal acts on.
fn line(text: &str) -> String {
    let plain = |c: char| if c.is_control() { '?' } else { c };
    text.chars().map(plain).take(LONGEST_LINE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git_gate::{
        capabilities::Capabilities,
        commands::{Command, CommandReader},
        pkt_line::Pkt,
    };
    use crate::policy::RefName;

    fn commands(capabilities: Capabilities) -> Commands {
        let command = |name: &str| Command { name: RefName::parse(name).unwrap(), old: None, new: None };
        let list = vec![command("refs/heads/a"), command("refs/heads/b")];
        Commands { list, capabilities, shallow: Vec::new() }
    }

    fn lines(mut bytes: &[u8]) -> Vec<String> {
        let mut out = Vec::new();
        while let Some((pkt, length)) = pkt_line::read(bytes).unwrap() {
            out.push(match pkt {
                Pkt::Flush => "flush".to_owned(),
                Pkt::Data(data) => String::from_utf8(data.to_vec()).unwrap(),
            });
            bytes = &bytes[length..];
        }
        assert!(bytes.is_empty());
        out
    }

    #[test]
    fn a_report_names_every_ref() {
        let rejection = Rejection {
            unpack: None,
            refs: vec![("refs/heads/b".to_owned(), "not allowed\nunpack ok".to_owned())],
            remote: vec!["what to do\u{1b}[2J".to_owned()],
        };
        let plain = commands(Capabilities { report_status: true, ..Capabilities::default() });
        assert_eq!(
            lines(&rejection.body(&plain).unwrap()),
            [
                "unpack ok\n",
                "ng refs/heads/a refused together with the rest of this push: nothing was sent\n",
                "ng refs/heads/b not allowed?unpack ok\n",
                "flush"
            ]
        );
        let banded =
            commands(Capabilities { report_status: true, side_band: true, ..Capabilities::default() });
        let outer = lines(&rejection.body(&banded).unwrap());
        assert_eq!(outer[0], "\u{2}what to do?[2J\n");
        assert_eq!(outer[1].as_bytes()[0], 1);
        assert_eq!(lines(&outer[1].as_bytes()[1..]), lines(&rejection.body(&plain).unwrap()));
        assert_eq!(outer[2..], ["flush"]);
        assert_eq!(rejection.body(&commands(Capabilities::default())), None);
    }

    #[test]
    fn a_bad_pack_is_said_first() {
        let rejection = Rejection { unpack: Some("the pack is cut off".to_owned()), ..Rejection::default() };
        let plain = commands(Capabilities { report_status: true, ..Capabilities::default() });
        assert_eq!(
            lines(&rejection.body(&plain).unwrap()),
            [
                "unpack the pack is cut off\n",
                "ng refs/heads/a unpacker error\n",
                "ng refs/heads/b unpacker error\n",
                "flush"
            ]
        );
    }

    #[test]
    fn a_long_report_is_cut_in_bands() {
        let mut reader = CommandReader::default();
        let mut sent = Vec::new();
        let (id, new) = ("1".repeat(40), "2".repeat(40));
        for n in 0..900 {
            let caps = if n == 0 { "\0report-status side-band-64k" } else { "" };
            pkt_line::write(format!("{id} {new} refs/heads/{n}{caps}").as_bytes(), &mut sent);
        }
        sent.extend_from_slice(pkt_line::FLUSH);
        assert!(reader.push(&sent).unwrap().is_some());
        let body = Rejection::default().body(reader.so_far()).unwrap();
        let (mut at, mut report) = (0, Vec::new());
        while let Some((pkt, length)) = pkt_line::read(&body[at..]).unwrap() {
            if let Pkt::Data(data) = pkt {
                assert_eq!(data[0], 1);
                report.extend_from_slice(&data[1..]);
            }
            at += length;
        }
        assert_eq!(lines(&report).len(), 902);
    }
}
