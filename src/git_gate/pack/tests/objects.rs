//! Objects that git writes, and those that it does not.

use super::*;

type Entries<'e> = &'e [(&'e str, &'e [u8], ObjectId)];

fn refused(kind: u8, content: &[u8]) -> Option<String> {
    let mut forged = Forged::new();
    forged.whole(kind, content);
    check(&forged.pack(), &[]).err().map(|it| it.reason)
}

#[test]
fn trees_are_read_strictly() {
    let id = id_of("blob", b"x");
    let null = ObjectId::from_bytes(&[0; 20]).unwrap();
    let tree = |entries: Entries<'_>| refused(TREE, &tree_of(entries));
    let good: &[Entries<'_>] = &[
        &[],
        &[("100644", b"a", id), ("100755", b"b", id), ("120000", b"c", id), ("160000", b"d", id)],
        // A folder is sorted as if its name ended in a slash.
        &[("100644", b"a-b", id), ("40000", b"a", id), ("100644", b"a0", id)],
        &[("100644", b".gitignore", id), ("100644", b".gitmodules", id), ("100644", b"git~2", id)],
        &[("100664", b"old", id)],
        &[("100644", b"\xff\xfe", id)],
    ];
    for entries in good {
        assert_eq!(tree(entries), None, "{entries:?}");
    }
    let bad: &[(&str, Entries<'_>)] = &[
        ("not in git's order", &[("100644", b"b", id), ("100644", b"a", id)]),
        ("not in git's order", &[("40000", b"a", id), ("100644", b"a-b", id)]),
        ("two entries have one name", &[("100644", b"a", id), ("100644", b"a", id)]),
        ("two entries have one name", &[("100644", b"a", id), ("100644", b"a-b", id), ("40000", b"a", id)]),
        ("a mode that git does not write", &[("040000", b"a", id)]),
        ("a mode that git does not write", &[("100600", b"a", id)]),
        ("a mode that git does not write", &[("", b"a", id)]),
        ("a name that no file has", &[("100644", b"", id)]),
        ("a name that no file has", &[("100644", b".", id)]),
        ("a name that no file has", &[("40000", b"..", id)]),
        ("a name that no file has", &[("100644", b"a/b", id)]),
        ("names no object", &[("100644", b"a", null)]),
        ("more than 4096 bytes", &[("100644", &[b'a'; 4097], id)]),
    ];
    for (what, entries) in bad {
        let reason = tree(entries).unwrap_or_else(|| panic!("{what}"));
        assert!(reason.contains(what) && reason.contains("the tree "), "{what}: {reason}");
    }
    for name in [
        ".git",
        ".GIT",
        ".Git ",
        ".git.",
        ".git . .",
        ".git::$INDEX_ALLOCATION",
        ".git:x",
        "git~1",
        "GIT~1",
        ".g\u{200c}it",
        "\u{feff}.git",
        "a\\.git",
        ".git\\hooks",
        "..\\.git\\x",
    ] {
        let reason = tree(&[("40000", name.as_bytes(), id)]).unwrap_or_else(|| panic!("{name}"));
        assert!(reason.contains("is called `.git`"), "{reason}");
    }
    for (name, mode, what) in [
        (".gitmodules", "120000", "a `.gitmodules` is a link (gitmodulesSymlink)"),
        (".GitModules . ", "120000", "gitmodulesSymlink"),
        (".gitmodules::$DATA", "120000", "gitmodulesSymlink"),
        ("gitmod~1", "120000", "gitmodulesSymlink"),
        ("GI7EBA~9", "120000", "gitmodulesSymlink"),
        ("gi7e~123", "120000", "gitmodulesSymlink"),
        ("a\\.gitmodules", "120000", "gitmodulesSymlink"),
        (".git\u{200d}modules", "120000", "gitmodulesSymlink"),
        (".gitmodules", "40000", "(gitmodulesBlob)"),
        (".gitmodules", "160000", "(gitmodulesBlob)"),
        (".gitattributes", "160000", "a `.gitattributes` is not a file (gitattributesBlob)"),
        ("gi7d29~1", "40000", "(gitattributesBlob)"),
    ] {
        let reason = tree(&[(mode, name.as_bytes(), id)]).unwrap_or_else(|| panic!("{name}"));
        assert!(reason.contains(what), "{name}: {reason}");
    }
    for name in [
        "gitmod~5",
        "gi7eba~0",
        "gi7eb~1",
        "gi7ebax1",
        "gitmodules",
        ".gitmodule",
        ".gitmodules.txt",
        "gi7f~123",
    ] {
        assert_eq!(tree(&[("120000", name.as_bytes(), id)]), None, "{name}");
    }
    assert_eq!(tree(&[("120000", b".gitattributes", id)]), None, "as git");
    for (what, bytes) in [
        ("has no end", &b"100644 a"[..]),
        ("has no mode", b"100644\0"),
        ("has no object", b"100644 a\0short"),
    ] {
        let reason = refused(TREE, bytes).unwrap();
        assert!(reason.contains(what), "{reason}");
    }
}

#[test]
fn commits_are_read_strictly() {
    let tree = id_of("tree", b"");
    let good = String::from_utf8(commit_of(tree, &[id_of("commit", b"x")], "one")).unwrap();
    let commit = |text: &str| refused(COMMIT, text.as_bytes());
    let person = "A <a@example.com> 1700000000 +0000";
    for fine in [
        good.clone(),
        good.replace("\n\none\n", "\n\n"),
        good.replace("\n\none\n", "\n"),
        good.replace("\n\none", "\nencoding ISO-8859-1\n\none"),
        good.replace("\n\none", "\ngpgsig -----BEGIN\n abc\n \n -----END\n\none"),
        good.replace("\n\none", "\nmergetag object x\n type commit\n\none"),
        good.replace("\n\none", "\nencoding utf8\n\none"),
        good.replacen(person, " <> 0 -1200", 1),
        good.replacen(person, "A, B & C. <a b> 1 +0000", 1),
    ] {
        assert_eq!(commit(&fine), None, "{fine}");
    }
    let null = "0".repeat(40);
    for (what, bad) in [
        ("it does not begin with its tree", good.replace("tree ", "root ")),
        ("it does not begin with its tree", good.replace(&tree.to_string(), &tree.to_string()[1..])),
        (
            "it does not begin with its tree",
            good.replace(&tree.to_string(), &tree.to_string().to_uppercase()),
        ),
        ("it does not begin with its tree", good.replace(&tree.to_string(), &null)),
        ("it does not begin with its tree", String::new()),
        ("a parent is no name of an object", good.replace("parent ", "parent x")),
        ("it has no author", good.replace("author ", "other ")),
        ("it has no author", good.replace("committer ", "other ")),
        ("it has no author", good.replace("committer ", "parent ")),
        ("(missingEmail)", good.replacen(person, "A a@example.com 1 +0000", 1)),
        ("(missingNameBeforeEmail)", good.replacen(person, "<a@b> 1 +0000", 1)),
        ("(missingSpaceBeforeDate)", good.replacen(person, "A <a>1 +0000", 1)),
        ("(badDate)", good.replacen(person, "A <a> 1", 1)),
        ("(badDate)", good.replacen(person, "A <a> x +0000", 1)),
        ("(badDate)", good.replacen(person, "A <a>  1 +0000", 1)),
        ("(zeroPaddedDate)", good.replacen(person, "A <a> 01 +0000", 1)),
        ("(badTimezone)", good.replacen(person, "A <a> 1 0000", 1)),
        ("(badTimezone)", good.replacen(person, "A <a> 1 +00000", 1)),
        ("(badTimezone)", good.replacen(person, "A <a> 1 +0000 x", 1)),
        ("(missingSpaceBeforeEmail)", good.replacen(person, "A<a> 1 +0000", 1)),
        ("(badEmail)", good.replacen(person, "A <a<b> 1 +0000", 1)),
        ("(badName)", good.replacen(person, "A> <a> 1 +0000", 1)),
        ("(badDateOverflow)", good.replacen(person, "A <a> 99999999999999999999 +0000", 1)),
        ("an encoding that is not read here: UTF-8", good.replace("\n\none", "\nencoding UTF-7\n\none")),
        ("an encoding that is not read here", good.replace("\n\none", "\nencoding IBM037\n\none")),
        ("an encoding that is not read here", good.replace("\n\none", "\nencoding \n\none")),
        (
            "an encoding that is not read here",
            good.replace("\n\none", "\nencoding UTF-8\nencoding UTF-16\n\none"),
        ),
        ("in its header (nulInHeader)", good.replace("A <a", "A\0 <a")),
        ("a line that git does not write", good.replace("\n\none", "\n gpgsig\n\none")),
        ("a line that git does not write", good.replace("\n\none", "\nx\n\none")),
        ("a line that git does not write", good.replace("\n\none", "\na\u{1b} x\n\none")),
        ("a line that git does not write", good.replace("\n\none", &format!("\nparent {tree}\n\none"))),
        ("a line that git does not write", good.replace("\n\none", &format!("\nauthor {person}\n\none"))),
        ("its header has no end", good.replace("\n\none\n", "\nencoding x")),
        ("it holds a zero byte", good.replace("one", "o\0ne")),
    ] {
        let reason = commit(&bad).unwrap_or_else(|| panic!("{what}: {bad}"));
        assert!(reason.contains(what) && reason.contains("the commit "), "{what}: {reason}");
    }
}

#[test]
fn tags_are_read_strictly() {
    let target = id_of("commit", b"x");
    let good = format!("object {target}\ntype commit\ntag v1\ntagger A <a> 1 +0000\n\none\n");
    let tag = |text: &str| refused(TAG, text.as_bytes());
    for fine in [good.clone(), good.replace("tagger A <a> 1 +0000\n", ""), good.replace("\n\none\n", "\n")] {
        assert_eq!(tag(&fine), None, "{fine}");
    }
    for (what, bad) in [
        ("does not begin with the object", good.replace("object ", "tree ")),
        ("its object has no type", good.replace("type commit", "type other")),
        ("its object has no type", good.replace("type commit\n", "")),
        ("it has no name", good.replace("tag v1", "tag ")),
        ("(missingEmail)", good.replace("A <a>", "A a")),
        ("an encoding that is not read here", good.replace("\n\n", "\nencoding UTF-7\n\n")),
        ("a line that git does not write", good.replace("\n\n", "\ntype x\n\n")),
        ("it holds a zero byte", good.replace("one", "\0")),
    ] {
        let reason = tag(&bad).unwrap_or_else(|| panic!("{what}: {bad}"));
        assert!(reason.contains(what) && reason.contains("the tag "), "{what}: {reason}");
    }
}

/// What is said of a file of this name and content.
fn refused_file(name: &str, content: &[u8]) -> Option<String> {
    let (forged, commit) = one_file(name, content);
    check(&forged.pack(), &creates(commit)).err().map(|it| it.reason)
}

#[test]
fn what_git_acts_on_is_read() {
    let good = "# a comment\n[submodule \"a/b\"]\n\tpath = a/b\n\turl = ../x\n\tbranch = .\n\tupdate = rebase\n\
                [other]\n\turl = -x\n[SUBMODULE \"c \\\"d\"]\r\n\tpath = \"c d\" \r\n\tshallow\n\turl = https://host/x ; why\n";
    let fine = ["", good, "[submodule \"x\"]\n\turl = git@host:x.git", "[submodule \"x\"]\n\turl = ../../x"];
    for content in fine {
        assert_eq!(refused_file(".gitmodules", content.as_bytes()), None, "{content}");
    }
    let of = |setting: &str| format!("[submodule \"x\"]\n\t{setting}\n");
    let large = format!("{good}#{}\n", "x".repeat(70_000));
    let cases = [
        ("(gitmodulesName)", "[submodule \"../x\"]".to_owned()),
        ("(gitmodulesName)", "[submodule \"a\\\\..\\\\x\"]".to_owned()),
        ("(gitmodulesName)", "[submodule \"\"]".to_owned()),
        ("(gitmodulesUrl)", of("url = -x")),
        ("(gitmodulesUrl)", of("URL=\"-x\"")),
        ("(gitmodulesUrl)", of("url = https://host/%0ahost=other")),
        ("(gitmodulesUrl)", of("url = ../x%0Ay")),
        ("(gitmodulesUrl)", of("url = ../../:x")),
        ("(gitmodulesUrl)", of("url = .././/x")),
        ("(gitmodulesUrl)", of("url = https:///x")),
        ("(gitmodulesUrl)", of("url = http::http:host/x")),
        ("(gitmodulesPath)", of("path = --upload-pack=x")),
        ("(gitmodulesUpdate)", of("update = !touch x")),
        ("(gitmodulesLarge)", large),
        ("(gitmodulesParse)", of("url = \\\n -x")),
        ("(gitmodulesParse)", "[submodule \"x\"] url = -x".to_owned()),
        ("(gitmodulesParse)", "[submodule.x]\nurl = -x".to_owned()),
        ("(gitmodulesParse)", "url = x".to_owned()),
        ("(gitmodulesParse)", "[submodule \"x\"]\n\turl = \"a\"b".to_owned()),
    ];
    for (what, content) in &cases {
        let reason = refused_file(".gitmodules", content.as_bytes()).unwrap_or_else(|| panic!("{content}"));
        assert!(reason.contains(what), "{content}: {reason}");
        assert_eq!(refused_file("gitmodules", content.as_bytes()), None, "it is a file as any other");
    }
    assert!(refused_file("GITMOD~1", cases[3].1.as_bytes()).unwrap().contains("(gitmodulesUrl)"));
    let long = format!("a\n{} text\nb", "x".repeat(2043));
    assert!(refused_file(".gitattributes", long.as_bytes()).unwrap().contains("(gitattributesLineLength)"));
    let shorter = format!("a\n{} text\nb", "x".repeat(2042));
    assert_eq!(refused_file(".gitattributes", shorter.as_bytes()), None);
    assert_eq!(refused_file("x", long.as_bytes()), None);
    // Before its tree or behind it, and where the server has it.
    let mut forged = Forged::new();
    let blob = id_of("blob", cases[3].1.as_bytes());
    forged.whole(TREE, &tree_of(&[("100644", b".gitmodules", blob)]));
    assert!(check(&forged.clone().pack(), &[]).is_ok());
    forged.whole(BLOB, cases[3].1.as_bytes());
    assert!(reason(check(&forged.pack(), &[])).contains("(gitmodulesUrl)"));
}
