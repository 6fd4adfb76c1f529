use super::*;
use crate::dlp::{Scanners, Settings};
use crate::policy::Host;

const OWN: &str = "planted-4f1d9c-token";

fn search() -> Search {
    Search {
        scanner: Scanners::new(Settings::default(), &[]).unwrap().of("a.test").clone(),
        own: OwnSecrets::new([("TOKEN", OWN.as_bytes())]),
        route: Route::open(Host::parse("a.test").unwrap(), "routes[0]"),
        message_bytes: 1 << 20,
    }
}

fn secret() -> String {
    ["gh", "p_", "16C7e42F292c6912E7", "710c838347Ae178B4a"].concat()
}

/// Masked frames of the agent.
fn sent(frames: &[(Kind, bool, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (kind, last, payload) in frames {
        frame(&mut out, *kind, *last, payload, Some([9, 8, 7, 6]));
    }
    out
}

fn answered(frames: &[(Kind, bool, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (kind, last, payload) in frames {
        frame(&mut out, *kind, *last, payload, None);
    }
    out
}

/// What another end reads: messages, and control frames between them.
fn read(bytes: &[u8], sender: Sender) -> Vec<String> {
    let mut pieces = Pieces::new(sender);
    pieces.push(bytes);
    let (mut all, mut text) = (Vec::new(), String::new());
    while let Some(piece) = pieces.take().unwrap() {
        match piece {
            Piece::Control { kind, payload } => all.push(format!("{kind:?} {}", payload.escape_ascii())),
            Piece::Data { begins, payload, ends } => {
                text += &begins.map(|kind| format!("{kind:?} ")).unwrap_or_default();
                text += &String::from_utf8_lossy(&payload);
                if ends {
                    all.push(std::mem::take(&mut text));
                }
            }
        }
    }
    all
}

fn out(bytes: &[u8], step: usize) -> Result<Vec<u8>, Stop> {
    let search = search();
    let mut outward = Outward::new(&search);
    let mut left = Vec::new();
    for chunk in bytes.chunks(step) {
        left.extend(outward.take(chunk)?.0);
    }
    Ok(left)
}

#[test]
fn messages_leave_as_they_came() {
    let bytes = sent(&[
        (Kind::Text, false, b"Hel"),
        (Kind::Ping, true, b"?"),
        (Kind::Continuation, true, b"lo"),
        (Kind::Binary, true, &[0, 1, 2]),
        (Kind::Text, true, b""),
        (Kind::Close, true, &[3, 232]),
        (Kind::Text, true, b"after"),
    ]);
    for step in [1, 2, 5, 1000] {
        let left = out(&bytes, step).unwrap();
        assert_eq!(
            read(&left, Sender::Client),
            ["Ping ?", "Text Hello", "Binary \0\u{1}\u{2}", "Text ", "Close \\x03\\xe8"],
            "{step}"
        );
    }
}

/// In one frame, cut at every place, one byte a frame, with pings between, escaped, in Base64, in a ping, in a close.
#[test]
fn a_secret_does_not_leave() {
    for secret in [secret(), OWN.to_owned()] {
        let text = format!("{{\"say\":\"{secret}\"}}");
        for cut in 0..text.len() {
            let (one, two) = text.as_bytes().split_at(cut);
            let bytes =
                sent(&[(Kind::Text, false, one), (Kind::Pong, true, b"-"), (Kind::Continuation, true, two)]);
            for step in [7, 1000] {
                let stop = out(&bytes, step).unwrap_err();
                assert!(matches!(stop, Stop::Secret(_) | Stop::Own(_)), "{cut} {stop:?}");
            }
        }
        let mut frames: Vec<(Kind, bool, &[u8])> = vec![(Kind::Binary, false, b"")];
        frames.extend(text.as_bytes().chunks(1).map(|byte| (Kind::Continuation, false, byte)));
        frames.push((Kind::Continuation, true, b""));
        assert!(out(&sent(&frames), 3).is_err());
        for kind in [Kind::Ping, Kind::Pong, Kind::Close] {
            assert!(out(&sent(&[(kind, true, text.as_bytes())]), 1000).is_err(), "{kind:?}");
        }
        let coded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &text);
        assert!(out(&sent(&[(Kind::Text, true, coded.as_bytes())]), 1000).is_err());
    }
}

/// Nothing of the message's end leaves, so that an origin that waits for whole messages sees none.
#[test]
fn what_leaves_before_a_secret_is_no_whole_message() {
    let search = search();
    let mut outward = Outward::new(&search);
    let bytes =
        sent(&[(Kind::Text, false, b"begins and goes on, "), (Kind::Continuation, true, OWN.as_bytes())]);
    let mut left = Vec::new();
    let stopped = bytes.chunks(1).try_for_each(|byte| {
        left.extend(outward.take(byte)?.0);
        Ok::<_, Stop>(())
    });
    assert!(stopped.is_err());
    assert_eq!(read(&left, Sender::Client), Vec::<String>::new());
    assert_eq!(outward.passed.messages, 0);
}

#[test]
fn a_credential_comes_back_as_a_placeholder_of_its_length() {
    let search = search();
    let text = format!("it is {OWN}.");
    for cut in 0..text.len() {
        let (one, two) = text.as_bytes().split_at(cut);
        let bytes = answered(&[
            (Kind::Text, false, one),
            (Kind::Continuation, true, two),
            (Kind::Ping, true, OWN.as_bytes()),
        ]);
        for step in [1, 4, 1000] {
            let mut inward = Inward::new(&search);
            let mut left = Vec::new();
            for chunk in bytes.chunks(step) {
                left.extend(inward.take(chunk).unwrap().0);
            }
            let read = read(&left, Sender::Server);
            let [message, ping] = &read[..] else { panic!("{read:?}") };
            assert_eq!(message.len(), "Text ".len() + text.len(), "{cut} {step}: {message}");
            assert!(
                message.starts_with("Text it is ") && message.ends_with('.') && !message.contains("planted")
            );
            assert!(!ping.contains("planted"), "{ping}");
        }
    }
}

#[test]
fn what_is_malformed_or_too_large_is_refused() {
    let search = search();
    let mut unmasked = Vec::new();
    frame(&mut unmasked, Kind::Text, true, b"a", None);
    assert!(matches!(out(&unmasked, 1000), Err(Stop::Agent(FrameFault::Mask))));
    assert!(matches!(
        Inward::new(&search).take(&sent(&[(Kind::Text, true, b"a")])),
        Err(Stop::Origin(FrameFault::Mask))
    ));
    for (kind, payload, fault) in [
        (Kind::Text, &b"caf\xe9"[..], FrameFault::Text),
        (Kind::Close, b"\x03", FrameFault::Close),
        (Kind::Close, b"\x03\xed", FrameFault::Close),
    ] {
        let refused = out(&sent(&[(kind, true, payload)]), 1000);
        assert!(matches!(refused, Err(Stop::Agent(it)) if it == fault), "{kind:?}");
    }
    assert!(out(&sent(&[(Kind::Binary, true, b"caf\xe9")]), 1000).is_ok());
    assert_eq!(close_frame(&Stop::Agent(FrameFault::Text))[2..4], NOT_TEXT.to_be_bytes());
    let large = vec![b' '; 1 << 16];
    let frames: Vec<(Kind, bool, &[u8])> = (0..17)
        .map(|n| (if n == 0 { Kind::Binary } else { Kind::Continuation }, n == 16, &large[..]))
        .collect();
    assert!(matches!(out(&sent(&frames), 1 << 14), Err(Stop::TooLarge)));
    assert!(out(&sent(&frames[..16]), 1 << 14).is_ok());
}

#[test]
fn a_farewell_fits_into_a_control_frame_and_repeats_no_secret() {
    for stop in [
        Stop::Own(search().own.in_text(OWN.as_bytes()).unwrap()),
        Stop::Secret(search().scanner.text(secret()).unwrap()),
        Stop::TooLarge,
        Stop::Agent(FrameFault::Mask),
        Stop::Closed,
        Stop::Rules,
    ] {
        let bytes = close_frame(&stop);
        let read = read(&bytes, Sender::Server);
        assert!(read[0].starts_with("Close ") && read[0].contains("bottle: "), "{read:?}");
        let said = stop.failure(&search().route).map(|it| it.refusal.message).unwrap_or_default();
        assert!(!said.contains("planted") && !said.contains("16C7e42F"), "{said}");
    }
}
