use super::*;
use proptest::prelude::*;

const A: &str = "1111111111111111111111111111111111111111";
const B: &str = "2222222222222222222222222222222222222222";
const ZERO: &str = "0000000000000000000000000000000000000000";

fn body(lines: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in lines {
        pkt_line::write(line.as_bytes(), &mut out);
    }
    out.extend_from_slice(pkt_line::FLUSH);
    out
}

fn read(body: &[u8]) -> Result<(Commands, Option<Vec<u8>>), CommandsError> {
    let mut reader = CommandReader::default();
    let rest = reader.push(body)?;
    Ok((reader.so_far().clone(), rest))
}

fn error(lines: &[&str]) -> String {
    read(&body(lines)).unwrap_err().to_string()
}

#[test]
fn what_git_sends_is_read() {
    let mut sent = body(&[
        &format!(
            "{A} {B} refs/heads/agent/x\0 report-status-v2 side-band-64k object-format=sha1 agent=git/2.39.5"
        ),
        &format!("{ZERO} {B} refs/tags/v1\n"),
        &format!("{A} {ZERO} refs/heads/agent/old"),
    ]);
    sent.extend_from_slice(b"PACK");
    let (commands, rest) = read(&sent).unwrap();
    assert_eq!(rest.as_deref(), Some(&b"PACK"[..]));
    let shown: Vec<_> = commands.list.iter().map(|it| (it.name.as_str(), it.change())).collect();
    assert_eq!(
        shown,
        [
            ("refs/heads/agent/x", RefChange::Update),
            ("refs/tags/v1", RefChange::Create),
            ("refs/heads/agent/old", RefChange::Delete)
        ]
    );
    assert!(commands.capabilities.report_status && commands.capabilities.side_band && commands.want_a_pack());
    let (probe, rest) = read(b"0000").unwrap();
    assert_eq!((probe, rest), (Commands::default(), Some(Vec::new())));
    let (delete, _) = read(&body(&[&format!("{A} {ZERO} refs/heads/agent/old\0report-status")])).unwrap();
    assert!(!delete.want_a_pack());
}

#[test]
fn what_git_does_not_send_is_refused_in_words() {
    let sha256 = "3".repeat(64);
    let cases = [
        (vec![format!("shallow {}", &A[1..])], "the push is malformed: line 1 is no command"),
        (vec![format!("shallow {ZERO}")], "the push is malformed: line 1 is no command"),
        (vec![format!("shallow {A}\0report-status")], "the push is malformed: line 1 is no command"),
        (
            vec![format!("{A} {B} refs/heads/x"), format!("shallow {A}")],
            "the push is malformed: line 2 is no command",
        ),
        (vec!["push-cert\0report-status".to_owned()], "a signed push is not passed on"),
        (
            vec![format!("{A} {B} refs/heads/x\0push-options")],
            "push options (`git push -o`) are not passed on",
        ),
        (
            vec![format!("{sha256} {sha256} refs/heads/x\0")],
            "repositories in the object format sha256 are not read",
        ),
        (
            vec![format!("{A} {B} refs/heads/x\0object-format=sha256")],
            "repositories in the object format sha256",
        ),
        (
            vec![format!("{A} {B} refs/heads/x"), format!("{A} {B} refs/heads/x")],
            "the push is malformed: two commands for refs/heads/x",
        ),
        (
            vec![format!("{ZERO} {ZERO} refs/heads/x")],
            "the push is malformed: the command for refs/heads/x changes nothing",
        ),
        (
            vec![format!("{A} {B} refs/heads/agent/../main")],
            "`refs/heads/agent/../main` is no ref that is pushed to here",
        ),
        (
            vec![format!("{A} {B} HEAD")],
            "`HEAD` is no ref that is pushed to here: a full name begins with `refs/`",
        ),
        (vec![format!("{A} {B} refs/heads/x\r")], "`refs/heads/x\\r` is no ref"),
        (vec![format!("{A} {B} refs/heads/x\n\n")], "`refs/heads/x\\n` is no ref"),
        (vec![format!("{A} {B} refs/heads/x\n\0")], "`refs/heads/x\\n` is no ref"),
        (vec![format!("{A} {B}  refs/heads/x")], "` refs/heads/x` is no ref"),
        (vec![format!("{A} {B} ")], "`` is no ref"),
        (vec![format!("{A} {B} refs/heads/\u{1b}[2J")], "`refs/heads/\\x1b[2J` is no ref"),
        (vec![format!("{A} {B}")], "the push is malformed: line 1 is no command"),
        (vec![String::new()], "the push is malformed: line 1 is no command"),
        (vec![format!("ERR {A}")], "the push is malformed: line 1 is no command"),
        (vec![format!("{} {B} refs/heads/x", &A[1..])], "the push is malformed: line 1"),
        (vec![format!("{} {B} refs/heads/x", A.replace('1', "A"))], "the push is malformed: line 1"),
        (
            vec![
                format!("{A} {B} refs/heads/x\0report-status"),
                format!("{A} {B} refs/heads/y\0push-options"),
            ],
            "the push is malformed: line 2 is no command",
        ),
    ];
    for (lines, expected) in cases {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let error = error(&lines);
        assert!(error.starts_with(expected), "{lines:?}: {error}");
    }
    let mut name = body(&[&format!("{A} {B} refs/heads/xx")]);
    let at = name.len() - 5;
    name[at] = 0xff;
    assert!(read(&name).unwrap_err().to_string().starts_with("`refs/heads/x\\xff` is no ref"));
    assert_eq!(read(b"PACK").unwrap_err(), CommandsError::Pkt(PktError::Length));
    assert_eq!(read(b"0001").unwrap_err(), CommandsError::Pkt(PktError::Length));
}

#[test]
fn a_shallow_clone_says_first_where_it_ends() {
    let lines = [
        &*format!("shallow {A}"),
        &format!("shallow {B}\n"),
        &format!("{A} {B} refs/heads/x\0report-status"),
        &format!("{A} {B} refs/heads/y"),
    ];
    let (commands, _) = read(&body(&lines)).unwrap();
    let id = |text: &str| ObjectId::from_hex(text.as_bytes()).unwrap();
    assert_eq!(commands.shallow, [id(A), id(B)]);
    assert_eq!(commands.list.len(), 2);
    assert!(commands.capabilities.report_status, "those of the first command");
    assert!(commands.texts().any(|text| text == id(A).as_bytes()), "they are searched too");
    let (only, _) = read(&body(&lines[..2])).unwrap();
    assert!(only.list.is_empty() && !only.want_a_pack());
}

#[test]
fn a_list_is_bounded() {
    let shallow = vec![format!("shallow {A}"); MOST_SHALLOW + 1];
    let lines: Vec<&str> = shallow.iter().map(String::as_str).collect();
    assert!(read(&body(&lines[1..])).is_ok());
    assert_eq!(read(&body(&lines)).unwrap_err(), CommandsError::Shallow);
    let many: Vec<String> = (0..=MOST).map(|n| format!("{A} {B} refs/heads/x{n}")).collect();
    let lines: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(read(&body(&lines[..MOST])).is_ok());
    assert_eq!(read(&body(&lines)).unwrap_err(), CommandsError::Many);
    let long: Vec<String> =
        (0..MOST).map(|n| format!("{A} {B} refs/heads/x{n}-{}", "y".repeat(600))).collect();
    let lines: Vec<&str> = long.iter().map(String::as_str).collect();
    assert_eq!(read(&body(&lines)).unwrap_err(), CommandsError::Large);
    let mut endless = CommandReader::default();
    let line = body(&[&format!("{A} {B} refs/heads/x")]);
    assert!(endless.push(&line[..line.len() - 4]).unwrap().is_none());
}

proptest! {
    #[test]
    fn it_does_not_matter_how_a_body_is_cut(cuts in prop::collection::vec(1_usize..20, 0..40), pack in prop::collection::vec(any::<u8>(), 0..30)) {
        let mut sent = body(&[&format!("{A} {B} refs/heads/agent/x\0report-status"), &format!("{ZERO} {B} refs/tags/v1")]);
        sent.extend_from_slice(&pack);
        let whole = read(&sent).unwrap();
        let mut reader = CommandReader::default();
        let (mut at, mut rest) = (0_usize, None::<Vec<u8>>);
        for cut in cuts.into_iter().chain([usize::MAX]) {
            let piece = &sent[at..at.saturating_add(cut).min(sent.len())];
            at += piece.len();
            match &mut rest {
                Some(rest) => rest.extend_from_slice(piece),
                None => rest = reader.push(piece).unwrap(),
            }
        }
        prop_assert_eq!(reader.so_far(), &whole.0);
        prop_assert_eq!(rest, whole.1);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
        let mut framed = Vec::new();
        pkt_line::write(&bytes, &mut framed);
        framed.extend_from_slice(pkt_line::FLUSH);
        let _ = read(&framed);
    }
}
