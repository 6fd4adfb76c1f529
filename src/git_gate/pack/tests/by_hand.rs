//! Packs that git does not write.

use super::*;
use proptest::prelude::*;

#[test]
fn a_whole_pack_passes() {
    let (forged, commit) = one_file("a.txt", b"hello\n");
    assert_eq!(
        check(&forged.pack(), &creates(commit)).unwrap(),
        Inspected { objects: 3, exempted: vec![], unread: vec![false] }
    );
    // A branch is made at a commit that the server has.
    let known = id_of("commit", b"x");
    let made = check(&Forged::new().pack(), &creates(known)).unwrap();
    assert_eq!((made.objects, made.unread), (0, vec![true]));
}

/// What is wrong, with the pack that has it.
#[expect(clippy::too_many_lines, reason = "a table")]
fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let (good, _) = one_file("a.txt", b"hello\n");
    let pack = good.clone().pack();
    let changed = |at: usize, to: u8| {
        let mut body = pack[..pack.len() - 20].to_vec();
        body[at] = to;
        sealed(body)
    };
    let with = |make: &dyn Fn(&mut Forged)| {
        let mut forged = good.clone();
        make(&mut forged);
        forged.pack()
    };
    let raw = |kind: u8, size: usize, stream: &[u8]| {
        with(&|it: &mut Forged| {
            it.raw(kind, size, &[], stream);
        })
    };
    let delta_on = |orders: &[u8], base: usize, result: usize| {
        with(&|it: &mut Forged| {
            let at = it.raw(BLOB, 10, &[], &zlib(b"0123456789"));
            it.upon(at, &delta(base, result, orders));
        })
    };
    let cut = |length: usize| sealed(pack[..length].to_vec());
    let mut preset = zlib(b"hello");
    preset[1] = 0xbb; // FDICT, with its check
    let mut bad_sum = zlib(b"hello");
    *bad_sum.last_mut().unwrap() ^= 1;
    let twice = zlib(b"hello").repeat(2);
    let mut stored = vec![0x78, 0x01];
    stored.extend_from_slice(&[0, 5, 0, 0xfa, 0xff, b'h', b'e', b'l', b'l', b'o']);
    vec![
        ("is shorter than an empty pack", b"PACK".to_vec()),
        ("last 20 bytes are not the hash", {
            let mut pack = pack.clone();
            *pack.last_mut().unwrap() ^= 1;
            pack
        }),
        ("does not begin as a pack does", changed(0, b'X')),
        ("is of version 3", good.clone().pack_of(3, 3)),
        ("ends before its last object", good.clone().pack_of(2, 4)),
        ("holds more than it says", good.clone().pack_of(2, 2)),
        ("holds more than it says", sealed([&pack[..pack.len() - 20], b"x"].concat())),
        ("is cut off", cut(pack.len() - 21)),
        ("ends before its last object", cut(12)),
        ("is of no type that git has", raw(0, 5, &zlib(b"hello"))),
        ("is of no type that git has", raw(5, 5, &zlib(b"hello"))),
        ("is longer than it says", raw(BLOB, 4, &zlib(b"hello"))),
        ("is shorter than it says", raw(BLOB, 6, &zlib(b"hello"))),
        ("is shorter than it says", raw(BLOB, 1, &zlib(b""))),
        ("is longer than it says", raw(BLOB, 0, &zlib(b"hello"))),
        ("is not compressed as zlib does", raw(BLOB, 5, b"hello")),
        ("is not compressed as zlib does", raw(BLOB, 5, &preset)),
        ("is not compressed as zlib does", raw(BLOB, 5, &bad_sum)),
        ("is cut off", raw(BLOB, 5, &stored)),
        ("is cut off", raw(BLOB, 5, &zlib(b"hello")[..7])),
        ("holds more than it says", raw(BLOB, 5, &twice)),
        ("is in the pack twice", raw(BLOB, 6, &zlib(b"hello\n"))),
        ("is in the pack twice", delta_on(&[copy(10), insert(b"x")].concat(), 10, 11)).clone_with_twin(),
        ("is for a base of another size", delta_on(&copy(9), 9, 9)),
        ("makes less than it says", delta_on(&copy(9), 10, 10)),
        ("makes more than it says", delta_on(&copy(9), 10, 8)),
        ("copies what its base does not have", delta_on(&copy(11), 10, 11)),
        ("copies what its base does not have", delta_on(&[0x91, 9, 2], 10, 2)),
        ("copies what its base does not have", delta_on(&[0x80], 10, 0x1_0000)),
        ("copies what its base does not have", delta_on(&[0xff, 255, 255, 255, 255, 255, 255, 255], 10, 9)),
        ("holds an order that git does not write", delta_on(&[0], 10, 0)),
        ("is cut off", delta_on(&[5, b'x'], 10, 5)),
        ("is cut off", delta_on(&[0x91], 10, 5)),
        (
            "is cut off",
            with(&|it: &mut Forged| {
                it.upon(12, &[6]);
            }),
        ),
        (
            "names a size that no object has",
            with(&|it: &mut Forged| {
                it.upon(12, &[0xff; 12]);
            }),
        ),
        (
            "names a size that no object has",
            with(&|it: &mut Forged| {
                it.body.extend_from_slice(&[0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
                it.count += 1;
            }),
        ),
        (
            "is a delta upon no object",
            with(&|it: &mut Forged| {
                it.raw(OFS, 2, &[5], &zlib(&[6, 6]));
            }),
        ),
        (
            "is a delta upon no object",
            with(&|it: &mut Forged| {
                it.raw(OFS, 2, &[0], &zlib(&[6, 6]));
            }),
        ),
        (
            "is a delta upon no object",
            with(&|it: &mut Forged| {
                it.raw(OFS, 2, &[0xff; 12], &zlib(&[6, 6]));
            }),
        ),
    ]
}

trait Twin {
    fn clone_with_twin(self) -> Self;
}

impl Twin for (&'static str, Vec<u8>) {
    /// The same with an object that a delta makes once more.
    fn clone_with_twin(self) -> Self {
        let (mut forged, _) = one_file("a.txt", b"hello\n");
        let base = forged.raw(BLOB, 10, &[], &zlib(b"0123456789"));
        let same = delta(10, 11, &[copy(10), insert(b"x")].concat());
        forged.upon(base, &same);
        forged.upon(base, &same);
        (self.0, forged.pack())
    }
}

#[test]
fn each_malformation_is_named() {
    for (what, pack) in malformed() {
        let refused = check(&pack, &[]).expect_err(what);
        assert!(refused.reason.contains(what), "{what}: {}", refused.reason);
        assert!(matches!(refused.kind, RefusedKind::Malformed), "{refused:?}");
        assert!(
            refused.reason.ends_with("run `git fsck`, repair what it names, and push again"),
            "{refused:?}"
        );
        assert_eq!(refused.remote, std::slice::from_ref(&refused.reason));
    }
}

#[test]
fn deltas_are_made_from_bases_of_the_pack() {
    let mut forged = Forged::new();
    let second = id_of("blob", b"0123456789x");
    // By name, before its base is there, and the base of that one is a delta too.
    forged.upon_id(second, &delta(11, 12, &[copy(11), insert(b"y")].concat()));
    let base = forged.raw(BLOB, 10, &[], &zlib(b"0123456789"));
    forged.upon(base, &delta(10, 11, &[copy(10), insert(b"x")].concat()));
    forged.upon(base, &delta(10, 11, &[copy(10), insert(b"z")].concat()));
    assert_eq!(check(&forged.pack(), &[]).unwrap().objects, 4);
}

#[test]
fn a_base_outside_of_the_pack_and_a_circle_are_refused() {
    let mut thin = Forged::new();
    let missing = id_of("blob", b"elsewhere");
    thin.upon_id(missing, &delta(9, 9, &copy(9)));
    let refused = check(&thin.pack(), &[]).unwrap_err();
    assert_eq!(refused.kind, RefusedKind::Thin);
    assert_eq!(
        refused.reason,
        format!(
            "the pack is refused: a delta needs {missing}, which is not in the pack; push with `git push --no-thin`"
        )
    );
    // Two that need each other: names that nobody can have made.
    let mut circle = Forged::new();
    circle.upon_id(id_of("blob", b"b"), &delta(1, 1, b"\x01a"));
    circle.upon_id(id_of("blob", b"a"), &delta(1, 1, b"\x01b"));
    assert_eq!(check(&circle.pack(), &[]).unwrap_err().kind, RefusedKind::Thin);
}

fn limited(pack: &[u8], limits: Limits) -> String {
    let refused = inspect(&spooled(pack), &[], &[], false, &limits, &scanners()).unwrap_err();
    assert_eq!(refused.kind, RefusedKind::TooLarge, "{refused:?}");
    refused.reason
}

#[test]
fn each_limit_is_said() {
    let limits = Limits::default();
    let (forged, _) = one_file("a.txt", &[b'a'; 5000]);
    let pack = forged.clone().pack();
    let length = pack.len();
    let long = format!("it is {length} bytes long, and {} are allowed", length - 1);
    assert!(limited(&pack, Limits { pack: length as u64 - 1, ..limits }).contains(&long));
    assert!(check(&pack, &[]).is_ok());
    assert!(
        limited(&pack, Limits { objects: 2, ..limits }).contains("it holds 3 objects, and 2 are allowed")
    );
    let object = limited(&pack, Limits { object: 4999, ..limits });
    assert!(object.contains("an object is 5000 bytes long, and 4999 are allowed"), "{object}");
    let all = limited(&pack, Limits { inflated: 5000, ..limits });
    assert!(all.contains("its objects grow beyond what is allowed when they are inflated"), "{all}");
    let few = limited(&pack, Limits { structure: 100, ..limits });
    assert!(few.contains("its commits, trees and tags are more than 100 bytes"), "{few}");
    let tree = limited(&pack, Limits { resident: 20, ..limits });
    assert!(tree.contains("a tree is 33 bytes long, and 20 are allowed"), "{tree}");
    let work = limited(&pack, Limits { work: 0, ..limits });
    assert!(
        work.contains(
            "to look into what is encoded in it takes more than is allowed for a pack of this size"
        ),
        "{work}"
    );
    // A count that nothing stands behind costs nothing.
    let lie = limited(&forged.pack_of(2, u32::MAX), limits);
    assert!(lie.contains("it holds 4294967295 objects"), "{lie}");
    // A blob that is larger than what may be in memory is read as a stream, until a delta needs it.
    let streamed = Limits { resident: 1000, ..limits };
    let pack = one_file("a.txt", &[b'a'; 5000]).0.pack();
    assert!(inspect(&spooled(&pack), &[], &[], false, &streamed, &scanners()).is_ok());
    let mut forged = Forged::new();
    let base = forged.raw(BLOB, 5000, &[], &zlib(&[b'a'; 5000]));
    forged.upon(base, &delta(5000, 4, &copy(4)));
    let base = limited(&forged.pack(), streamed);
    assert!(base.contains("the base of a delta is 5000 bytes long, and 1000 are allowed"), "{base}");
    assert!(
        base.ends_with("rewrite it with `git -c core.bigFileThreshold=8m repack -adF` and push again"),
        "{base}"
    );
}

#[test]
fn a_bomb_is_refused_before_it_is_inflated() {
    let limits = Limits::default();
    // A megabyte, copied 255 bytes at a time by two bytes each: each delta makes 128 times itself.
    let mut forged = Forged::new();
    let base = forged.raw(BLOB, 0x1_0000, &[], &zlib(&vec![b'a'; 0x1_0000]));
    // 64 KiB for each byte.
    forged.upon(base, &delta(0x1_0000, 0x1_0000 * 5000, &[0x80; 5000]));
    let reason = limited(&forged.pack(), limits);
    assert!(reason.contains("an object is 327680000 bytes long, and 268435456 are allowed"), "{reason}");
    let mut forged = Forged::new();
    let base = forged.raw(BLOB, 0x1_0000, &[], &zlib(&vec![b'a'; 0x1_0000]));
    for extra in 0..20_u8 {
        let orders = [vec![0x80; 16], insert(&[extra; 1])].concat();
        forged.upon(base, &delta(0x1_0000, 0x1_0000 * 16 + 1, &orders));
    }
    let reason = limited(&forged.pack(), Limits { inflated: 4 << 20, work: 100, ..limits });
    assert!(reason.contains("grow beyond what is allowed"), "{reason}");
    assert_eq!(limits.inflated_of(1 << 20), (64 + 200) << 20);
    assert_eq!(limits.inflated_of(50 << 20), 2 << 30);
}

/// A chain of so many deltas.
fn chain(depth: usize) -> Vec<u8> {
    let mut forged = Forged::new();
    let mut at = forged.raw(BLOB, 1, &[], &zlib(b"a"));
    for length in 1..=depth {
        let orders = [
            &[0xb0, u8::try_from(length & 0xff).unwrap(), u8::try_from(length >> 8).unwrap()],
            &insert(b"b")[..],
        ]
        .concat();
        at = forged.upon(at, &delta(length, length + 1, &orders));
    }
    forged.pack()
}

#[test]
fn a_chain_of_deltas_has_an_end() {
    assert_eq!(check(&chain(250), &[]).unwrap().objects, 251);
    let reason = reason(check(&chain(251), &[]));
    assert!(reason.contains("an object stands behind more than 250 deltas"), "{reason}");
    assert!(reason.ends_with("rewrite it with `git repack -adF --depth=50` and push again"), "{reason}");
}

#[test]
fn a_chain_keeps_one_base_and_a_tree_of_deltas_few() {
    // Each base has a leaf beside the next base: 200 bases of 4 KiB, of which two at a time fit.
    let mut forged = Forged::new();
    let block = [b'a'; 4096];
    let mut at = forged.raw(BLOB, 4096, &[], &zlib(&block));
    for step in 0..200_u8 {
        let leaf = [&[0xb0, 0, 8][..], &insert(&[step, 1])].concat();
        let next = [&[0xb0, 0xfe, 0x0f][..], &insert(&[step, 2])].concat();
        let base = at;
        at = forged.upon(base, &delta(4096, 4096, &next));
        forged.upon(base, &delta(4096, 2050, &leaf));
    }
    let pack = forged.pack();
    let limits = Limits { bases: 3 * 4096, ..Limits::default() };
    assert_eq!(inspect(&spooled(&pack), &[], &[], false, &limits, &scanners()).unwrap().objects, 401);
}

#[test]
fn a_key_is_found_wherever_it_stands() {
    let key = planted();
    let text = format!("one\ntwo\ntoken: {key}\n");
    let (forged, commit) = one_file("a.txt", text.as_bytes());
    let refused = check(&forged.pack(), &creates(commit)).unwrap_err();
    assert_eq!(refused.kind, RefusedKind::Credential);
    assert_eq!(
        refused.reason,
        format!("it carries a credential: GitLab PAT in line 3 of a.txt in commit {commit}")
    );
    insta::assert_snapshot!(refused.remote.join("\n").replace(&commit.to_string(), "COMMIT"), @r"
    This push carries a credential. Nothing of it was sent to the server:
      GitLab PAT in line 3 of a.txt in commit COMMIT
    Take it out of each commit that has it (`git rebase -i COMMIT^`): a later commit that deletes it is not enough. Then push again.
    If it is in use, have it replaced: it stays in the history of this clone.
    If it is a false alarm, ask a person to push it from outside of this cage.
    ");

    // In no commit of the push: the server would store it.
    let mut forged = Forged::new();
    let blob = forged.whole(BLOB, text.as_bytes());
    let unreached = reason(check(&forged.pack(), &[]));
    assert!(
        unreached
            .contains(&format!("line 3 of `git cat-file -p {blob}`, a file that no commit of this push has"))
    );

    // Behind a delta, in two parts.
    let (left, right) = key.split_at(9);
    let mut forged = Forged::new();
    let base = forged.raw(BLOB, left.len(), &[], &zlib(left.as_bytes()));
    let orders = [copy(u8::try_from(left.len()).unwrap()), insert(right.as_bytes())].concat();
    forged.upon(base, &delta(left.len(), key.len(), &orders));
    let result = check(&forged.pack(), &[]).unwrap_err();
    assert!(result.reason.contains("GitLab PAT in line 1 of"), "{result:?}");

    // In a message, the name of a person, another field.
    let tree = id_of("tree", b"");
    let good = commit_of(tree, &[], "one");
    let good = String::from_utf8(good).unwrap();
    for bad in [
        good.replace("one", &format!("one\n\n{key}")),
        good.replace("author A", &format!("author {key}")),
        good.replace("committer A <a@example.com", &format!("committer A <{key}@x")),
        good.replace("\n\none", &format!("\nnote x\n {key}\n\none")),
        good.replace("\n\none", &format!("\ngpgsig -----BEGIN PGP SIGNATURE-----\n {key}\n\none")),
    ] {
        assert_ne!(bad, good);
        let mut forged = Forged::new();
        let commit = forged.whole(COMMIT, bad.as_bytes());
        let refused = check(&forged.pack(), &creates(commit)).unwrap_err();
        let place = "the author, the committer, the message or another field of the commit";
        assert_eq!(refused.reason, format!("it carries a credential: GitLab PAT in {place} {commit}"));
        let unreached = reason(check(&forged_again(bad.as_bytes()), &[]));
        assert!(unreached.ends_with("which no ref of this push reaches"), "{unreached}");
    }
    let mut forged = Forged::new();
    let tag = forged.whole(TAG, format!("object {tree}\ntype tree\ntag v1\n\n{key}\n").as_bytes());
    let update = [Update { refname: "refs/tags/v1", old: None, new: Some(tag) }];
    assert_eq!(
        reason(check(&forged.pack(), &update)),
        format!(
            "it carries a credential: GitLab PAT in the name, the tagger or the message of the tag {tag}"
        )
    );
}

fn forged_again(commit: &[u8]) -> Vec<u8> {
    let mut forged = Forged::new();
    forged.whole(COMMIT, commit);
    forged.pack()
}

#[test]
fn names_are_scanned_and_never_shown() {
    let key = planted();
    let blob = id_of("blob", b"x");
    let mut forged = Forged::new();
    let inner = forged.whole(TREE, &tree_of(&[("100644", b"staple.txt", blob)]));
    let tree = forged.whole(TREE, &tree_of(&[("100644", key.as_bytes(), blob), ("40000", b"z", inner)]));
    let commit = forged.whole(COMMIT, &commit_of(tree, &[], "one"));
    let refused = check(&forged.pack(), &creates(commit)).unwrap_err();
    assert_eq!(
        refused.reason,
        format!(
            "it carries a credential: GitLab PAT in a path: a name that `git ls-tree {tree}` lists in commit {commit}"
        )
    );
    // A file in a folder that is called so.
    let mut forged = Forged::new();
    let blob = forged.whole(BLOB, key.as_bytes());
    let inner = forged.whole(TREE, &tree_of(&[("100644", b"a", blob)]));
    let tree = forged.whole(TREE, &tree_of(&[("40000", key.as_bytes(), inner)]));
    let commit = forged.whole(COMMIT, &commit_of(tree, &[], "one"));
    let refused = check(&forged.pack(), &creates(commit)).unwrap_err();
    let all = refused.remote.join("\n") + &refused.reason;
    assert!(all.contains("a file whose path carries one too") && !all.contains(&key), "{all}");
    // What steers a terminal is escaped, and what is long is cut.
    let name = format!("\u{1b}[2J\u{202e}{}", "n".repeat(300));
    let (forged, commit) = one_file(&name, key.as_bytes());
    let reason = reason(check(&forged.pack(), &creates(commit)));
    assert!(reason.contains(r"\u{1b}[2J\u{202e}nnn") && reason.contains("n… in commit"), "{reason}");
}

#[test]
fn what_bottle_holds_is_found_across_blocks_and_slashes() {
    let text = [vec![b'\n'; 32_760], OWN.as_bytes().to_vec(), vec![b'x'; 100]].concat();
    let (forged, commit) = one_file("a", &text);
    let found = reason(check(&forged.pack(), &creates(commit)));
    assert!(found.contains("the credential DEPLOY_KEY, which bottle holds in line 32761 of a in"), "{found}");

    let own = OwnSecrets::new([("PATHLIKE", &b"abcdef/ghijkl"[..])]);
    let scan = Scanners { own, ..scanners() };
    let blob = id_of("blob", b"x");
    let mut forged = Forged::new();
    let inner = forged.whole(TREE, &tree_of(&[("100644", b"ghijkl", blob)]));
    let tree = forged.whole(TREE, &tree_of(&[("40000", b"abcdef", inner)]));
    let commit = forged.whole(COMMIT, &commit_of(tree, &[], "one"));
    let refused = inspect(&spooled(&forged.pack()), &creates(commit), &[], false, &Limits::default(), &scan);
    assert!(refused.unwrap_err().reason.contains("PATHLIKE"));
}

#[test]
fn a_comment_exempts_a_line_where_the_policy_says_so() {
    let key = planted();
    let text = format!("a\nx = {key} # gitleaks:allow\n");
    let (forged, commit) = one_file("a", text.as_bytes());
    let pack = forged.pack();
    let refused = check(&pack, &creates(commit)).unwrap_err();
    assert!(refused.remote.last().unwrap().contains("ask a person"), "{refused:?}");

    let scan = Scanners { allow_comments: true, ..scanners() };
    let ask = |pack: &[u8], commit| {
        inspect(&spooled(pack), &creates(commit), &[], false, &Limits::default(), &scan)
    };
    let exempted = Exempted { kind: "GitLab PAT".into(), place: format!("line 2 of a in commit {commit}") };
    assert_eq!(ask(&pack, commit).unwrap().exempted, [exempted]);

    // It exempts no other line, no message, and nothing that bottle holds.
    for (text, line) in [
        (format!("a # gitleaks:allow\n{key}\n"), Some(2)),
        (format!("{key}\n# gitleaks:allow"), Some(1)),
        (format!("{OWN} # gitleaks:allow\n"), Some(1)),
        (format!("{} {key} # gitleaks:allow\n", "x".repeat(5000)), Some(1)),
    ] {
        let (forged, commit) = one_file("a", text.as_bytes());
        let refused = ask(&forged.pack(), commit).unwrap_err();
        assert!(refused.reason.contains(&format!("in line {} of a", line.unwrap())), "{refused:?}");
        assert!(refused.remote.last().unwrap().contains("`gitleaks:allow`"), "{refused:?}");
    }
    let mut forged = Forged::new();
    let tree = forged.whole(TREE, b"");
    let commit = forged.whole(COMMIT, &commit_of(tree, &[], &format!("{key} gitleaks:allow")));
    assert!(ask(&forged.pack(), commit).is_err());
}

#[test]
fn many_findings_are_counted_and_twenty_shown() {
    let key = planted();
    let text = format!("{key}\n").repeat(20);
    let mut forged = Forged::new();
    for at in 0..3 {
        forged.whole(BLOB, format!("{text}{at}").as_bytes());
    }
    let refused = check(&forged.pack(), &[]).unwrap_err();
    assert_eq!(refused.remote.iter().filter(|it| it.contains("GitLab PAT")).count(), 20);
    assert!(refused.remote.iter().any(|it| it == "  and 40 more"), "{refused:?}");
    assert!(refused.remote[0].contains("in 60 places"), "{refused:?}");
    assert!(refused.remote[20].contains("line 20 of"), "{refused:?}");
}

#[test]
fn a_bomb_of_trees_is_walked_once() {
    let mut forged = Forged::new();
    let mut id = forged.whole(TREE, b"");
    for _ in 0..40 {
        let names: Vec<String> = (10..60).map(|it| it.to_string()).collect();
        let entries: Vec<(&str, &[u8], ObjectId)> =
            names.iter().map(|it| ("40000", it.as_bytes(), id)).collect();
        id = forged.whole(TREE, &tree_of(&entries));
    }
    let commit = forged.whole(COMMIT, &commit_of(id, &[], "one"));
    assert_eq!(check(&forged.pack(), &creates(commit)).unwrap().objects, 42);
    let mut forged = Forged::new();
    let mut id = forged.whole(TREE, b"");
    for _ in 0..1001 {
        id = forged.whole(TREE, &tree_of(&[("40000", b"d", id)]));
    }
    let commit = forged.whole(COMMIT, &commit_of(id, &[], "one"));
    let reason = reason(check(&forged.pack(), &creates(commit)));
    assert!(reason.contains("more than 1000 folders lie in one another"), "{reason}");
}

#[test]
fn an_object_is_what_others_call_it() {
    let mut forged = Forged::new();
    let blob = forged.whole(BLOB, b"x");
    let tree = forged.whole(TREE, &tree_of(&[("40000", b"d", blob)]));
    let commit = forged.whole(COMMIT, &commit_of(tree, &[], "one"));
    let folder = reason(check(&forged.pack(), &creates(commit)));
    assert!(folder.contains(&format!("{tree} calls {blob} a tree, and it is a blob")), "{folder}");
    for (parents, root) in [(vec![], blob), (vec![blob], tree)] {
        let mut forged = Forged::new();
        forged.whole(BLOB, b"x");
        let commit = forged.whole(COMMIT, &commit_of(root, &parents, "one"));
        assert!(reason(check(&forged.pack(), &creates(commit))).contains("and it is a blob"));
    }
    let mut forged = Forged::new();
    forged.whole(BLOB, b"x");
    let tag = forged.whole(TAG, format!("object {blob}\ntype commit\ntag v1\n\n").as_bytes());
    let update = [Update { refname: "refs/tags/v1", old: None, new: Some(tag) }];
    assert!(reason(check(&forged.pack(), &update)).contains("a commit, and it is a blob"));
    let mut forged = Forged::new();
    let blob = forged.whole(BLOB, b"x");
    let refused = check(&forged.pack(), &creates(blob)).unwrap_err();
    assert_eq!(refused.refname.as_deref(), Some("refs/heads/agent/a"));
    assert_eq!(refused.reason, format!("a branch holds a commit, and {blob} is a blob"));
}

#[test]
fn a_fast_forward_is_proven_from_the_pack() {
    let tree = id_of("tree", b"");
    let (old, other) = (id_of("commit", b"old"), id_of("commit", b"other"));
    let mut forged = Forged::new();
    let first = forged.whole(COMMIT, &commit_of(tree, &[old], "first"));
    let side = forged.whole(COMMIT, &commit_of(tree, &[other], "side"));
    let merge = forged.whole(COMMIT, &commit_of(tree, &[side, first], "merge"));
    let pack = forged.pack();
    for new in [first, merge, old] {
        assert!(check(&pack, &moves(old, new)).is_ok(), "{new}");
    }
    let refused = check(&pack, &moves(old, side)).unwrap_err();
    assert_eq!(refused.kind, RefusedKind::NotFastForward);
    assert_eq!(
        refused.reason,
        format!(
            "it is not proven that this only adds to what the ref holds: no commit of this push comes from {old}, \
             which the ref holds; run `git fetch origin` and `git rebase origin/agent/a`, and push again"
        )
    );
    let elsewhere = reason(check(&pack, &moves(old, other)));
    assert!(
        elsewhere.contains(&format!("{other} is not in the pack; run `git fetch origin`")),
        "{elsewhere}"
    );
    let with_force = inspect(&spooled(&pack), &moves(old, side), &[], true, &Limits::default(), &scanners());
    assert!(with_force.is_ok());
    let tag = [Update { refname: "refs/tags/v1", old: Some(old), new: Some(first) }];
    let moved = reason(check(&pack, &tag));
    assert!(moved.ends_with("a tag stays where it is; give the new one another name"), "{moved}");
    let notes = |new| [Update { refname: "refs/notes/agent", old: Some(old), new: Some(new) }];
    assert!(check(&pack, &notes(first)).is_ok());
    let notes = reason(check(&pack, &notes(side)));
    assert!(notes.ends_with("fetch refs/notes/agent, add to what it holds, and push again"), "{notes}");
    let deleted = [Update { refname: "refs/heads/agent/a", old: Some(old), new: None }];
    assert!(check(&pack, &deleted).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// A byte that is changed on the way, with or without a trailer that fits again.
    #[test]
    fn a_changed_byte_never_passes_as_something_else(at: prop::sample::Index, mask in 1_u8..=255, seal: bool) {
        let (mut forged, commit) = one_file("a.txt", b"hello\n");
        let base = forged.raw(BLOB, 10, &[], &zlib(b"0123456789"));
        forged.upon(base, &delta(10, 11, &[copy(10), insert(b"x")].concat()));
        forged.upon_id(id_of("blob", b"hello\n"), &delta(6, 7, &[copy(6), insert(b"y")].concat()));
        let pack = forged.pack();
        prop_assert_eq!(check(&pack, &creates(commit)).unwrap().objects, 6);
        let mut body = pack.clone();
        let at = at.index(pack.len());
        body[at] ^= mask;
        if seal {
            body.truncate(pack.len() - 20);
            body = sealed(body);
            // Never a panic; what still reads as a pack says the same number of objects.
            if let Ok(inspected) = check(&body, &creates(commit)) {
                prop_assert_eq!(inspected.objects, 6);
            }
        } else {
            prop_assert!(check(&body, &creates(commit)).is_err());
        }
    }

    #[test]
    fn anything_is_read_without_a_panic(count in 0_u32..4, body in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut forged = Forged::new();
        forged.body.extend_from_slice(&body);
        let _ = check(&forged.pack_of(2, count), &[]);
    }
}

#[test]
fn a_look_that_is_not_waited_for_ends() {
    let (forged, commit) = one_file("a.txt", b"hello\n");
    let scan = scanners();
    scan.effort.stop();
    let refused = inspect(&spooled(&forged.pack()), &creates(commit), &[], false, &Limits::default(), &scan);
    assert_eq!(refused.unwrap_err().kind, RefusedKind::Stopped);
}

#[test]
fn what_is_encoded_many_times_over_is_counted() {
    use data_encoding::{BASE64, HEXLOWER};
    let text = "the quick brown fox jumps over the lazy dog\n".repeat(3000);
    let (mut nested, mut ratios) = (text.clone(), Vec::new());
    for depth in 0..4 {
        let scan = scanners();
        let (forged, commit) = one_file("a.txt", nested.as_bytes());
        inspect(&spooled(&forged.pack()), &creates(commit), &[], false, &Limits::default(), &scan).unwrap();
        ratios.push(scan.work() * 100 / nested.len() as u64);
        nested = if depth % 2 == 0 {
            BASE64.encode(nested.as_bytes())
        } else {
            HEXLOWER.encode(nested.as_bytes())
        };
    }
    assert!(ratios[0] < 300 && ratios.iter().all(|it| *it < 1200), "{ratios:?}");
    // Four bytes are read for each that may be inflated: more is refused, and not read to its end.
    let bombs = zlib(&zlib(&vec![b' '; 4 << 20])).repeat(50);
    let (scan, limits) = (scanners(), Limits { inflated: 1 << 20, ..Limits::default() });
    let (forged, commit) = one_file("a", &bombs);
    let refused =
        inspect(&spooled(&forged.pack()), &creates(commit), &[], false, &limits, &scan).unwrap_err();
    assert_eq!(refused.kind, RefusedKind::TooLarge, "{refused:?}");
    assert!(scan.work() < 64 << 20, "{}", scan.work());
}

#[test]
fn a_delta_of_single_bytes_is_read_in_blocks() {
    let mut forged = Forged::new();
    let base = forged.raw(BLOB, 1, &[], &zlib(b"a"));
    let orders = b"\x01b".repeat(100_000);
    forged.upon(base, &delta(1, 100_000, &orders));
    let counted = by_git::Counted::default();
    inspect(&spooled(&forged.pack()), &[], &[], false, &Limits::default(), &counted).unwrap();
    assert_eq!(counted.bytes.get(), 100_001);
    assert!(counted.parts.get() < 10, "{}", counted.parts.get());
}
