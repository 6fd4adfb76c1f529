use super::*;

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// `@D` stands for a digest.
fn said(text: &str) -> Vec<String> {
    unlocked(&text.replace("@D", &format!("@{DIGEST}"))).iter().map(ToString::to_string).collect()
}

fn lines(text: &str) -> Vec<usize> {
    unlocked(&text.replace("@D", &format!("@{DIGEST}"))).into_iter().map(|it| it.line).collect()
}

#[test]
fn what_is_written_plainly_and_named_by_its_digest_passes() {
    let text = format!(
        "# syntax=docker/dockerfile:1@D\n# escape=\\\n# check=skip=all\n# a note: é, \"x\" = y\n\nARG V=1\n\
         FROM --platform=$BUILDPLATFORM node:24@D AS build\r\nWORKDIR /src\r\n\
         COPY --chown=1000:1000 --link package.json ./\nCOPY [\"a b\", \"/c d\"]\n\
         RUN --mount=type=cache,target=/root/.npm --mount=type=secret,id=key,required npm ci \\\n\
         # between\n\n  && echo \"a <b\" 'c' \\ d\nfrom build as tools\n\
         RUN --mount=type=bind,from=build,source=/,target=/x,ro true\nADD rootfs.tar.gz /\nADD --checksum={DIGEST} https://files.example/a.tar /opt/\n\
         FROM scratch\nCOPY --from=build /a /b\nCOPY --from=0 /a /b\nCOPY --from=registry.test:5000/x/y:1@D /a /b\n\
         FROM \\\n\n  TOOLS\nHEALTHCHECK --interval=5s CMD true\nENTRYPOINT [\"/a\"]\n"
    );
    assert_eq!(said(&text), [""; 0]);
}

#[test]
fn an_image_without_a_digest_is_named_with_its_line() {
    let names = "names `evil`, which is not named by its digest";
    for (text, line) in [
        ("FROM evil", 1),
        ("# FROM x@D\n\nfrom evil as a", 3),
        ("FROM \\\n\n  evil", 1),
        ("FR\\\nOM evil\n", 1),
        ("FROM --platform=linux/amd64 evil AS x", 1),
        ("FROM x@D AS a\nCOPY --from=evil / /", 2),
        ("FROM x@D AS a\nCOPY --chown=1 --from=evil / /", 2),
        ("FROM x@D AS a\nRUN --mount=type=bind,from=evil,target=/x true", 2),
        ("FROM x@D AS a\nRUN --mount=from=evil,target=/x true", 2),
        ("FROM x@D AS a\nRUN --mount=type=bind,FROM=evil,target=/x true", 2),
        // A builder that does not know a stage before it is whole takes its name for an image's.
        ("FROM x@D AS evil\nCOPY --from=evil / /", 2),
        ("FROM x@D\nFROM scratch AS Evil\nRUN --mount=from=evil,target=/x true", 3),
        ("# syntax=evil\nFROM x@D", 1),
        ("#!/x\n#\tSyntax = evil\nFROM x@D", 2),
        ("\n# syntax=evil\nFROM x@D", 2),
    ] {
        assert_eq!(said(text), [format!("line {line} of the Dockerfile {names}")], "{text}");
    }
    // A number is an image for FROM, and elsewhere a stage that is there already. No variable is a digest.
    assert_eq!(
        lines("FROM x@D\nFROM 0\nCOPY --from=1 a b\nCOPY --from=0 a b\nFROM ${V}\nFROM $V@D\n"),
        [2, 3, 5, 6]
    );
    assert_eq!(lines("FROM x@D\nCOPY --from=later / /\nFROM y@D AS later\n"), [2]);
    assert_eq!(lines("FROM SCRATCH\n"), [1]);
    assert_eq!(lines("# syntax=evil image@D\nFROM x@D\n"), [1]);
}

#[test]
fn a_line_that_could_be_read_in_two_ways_is_refused_with_its_reason() {
    for (text, line, why) in [
        ("FROM \\\u{a0}\nevil\n", 1, "it holds the character U+00A0, and only plain ASCII is read"),
        ("\u{feff}FROM evil\n", 1, "it holds the character U+FEFF, and only plain ASCII is read"),
        ("\u{feff}# syntax=evil\nFROM x@D", 1, "it holds the character U+FEFF, and only plain ASCII is read"),
        ("# a\u{b}b\nFROM x@D", 1, "it holds the character U+000B, and only plain ASCII is read"),
        ("FROM x@D\nRUN a\u{c}b\n", 2, "it holds the character U+000C, and only plain ASCII is read"),
        ("FROM x@D\rFROM evil\n", 1, "it holds the character U+000D, and only plain ASCII is read"),
        ("FROM x@D\nCOPY --fr\"om\"=evil a b", 2, "the flag `--fr\"om\"=evil` holds a quote or an escape"),
        (
            "FROM x@D\nCOPY --chown=\"a b\" --from=evil a b",
            2,
            "the flag `--chown=\"a` holds a quote or an escape",
        ),
        ("FROM x@D\nCOPY --fr\\om=evil a b", 2, "the flag `--fr\\om=evil` holds a quote or an escape"),
        (
            "FROM x@D\nRUN --mount=type=bind,\"from=evil\" x",
            2,
            "the flag `--mount=type=bind,\"from=evil\"` holds a quote or an escape",
        ),
        ("FROM x@D\nRUN --mount=type=bind,origin=evil x", 2, "`origin` of `--mount` is not known here"),
        ("FROM x@D\nCOPY --base=evil a b", 2, "the flag `--base` is not known here"),
        ("// syntax=evil\nFROM x@D", 1, "`//` is no instruction that is known here"),
        ("{\"syntax\": \"evil\"}\nFROM x@D", 1, "`{\"syntax\":` is no instruction that is known here"),
        ("FROM x@D\nONBUILD COPY --from=evil a b", 2, "ONBUILD acts in another build"),
        (
            "FROM x@D\nRUN <<E\\\nx\nE\\\nFROM x@D\n",
            2,
            "it could begin a here-document; write the commands in a file of the build context",
        ),
        (
            "FROM x@D\nRUN echo a\\\\\nFROM x@D\n",
            2,
            "it ends in two backslashes, which builders read differently",
        ),
        ("# escape=`\nFROM x@D\n", 1, "it makes another character than `\\` the escape"),
        ("FROM x@D y\n", 1, "it is not `FROM IMAGE` or `FROM IMAGE AS NAME`"),
        ("FROM\n", 1, "it is not `FROM IMAGE` or `FROM IMAGE AS NAME`"),
        ("FROM x@D AS -\n", 1, "it is not `FROM IMAGE` or `FROM IMAGE AS NAME`"),
    ] {
        let wanted = format!("--locked can't tell what line {line} of the Dockerfile builds from: {why}");
        assert_eq!(said(text).first(), Some(&wanted), "{text}");
    }
    for source in [
        "http://files.example/x",
        "https://files.example/x",
        "git@forge.example:a/b",
        "github.com/a/b",
        "GitHub.com/a/b",
        "ssh://a/b",
        "$SOURCE",
        "[\"http://files.example/x\",",
        "ht\"tp\"://x",
    ] {
        let text = format!("FROM x@D\nADD {source} /x\n");
        let begin =
            format!("--locked can't tell what line 2 of the Dockerfile builds from: ADD takes `{source}`");
        assert!(said(&text)[0].starts_with(&begin), "{text}: {:?}", said(&text));
    }
    let both = format!("FROM x@D\nADD --checksum={DIGEST} https://a.example/x https://b.example/y /\n");
    assert_eq!(lines(&both), [2], "the digest is of one");
    assert_eq!(lines("FROM x@D\nADD --checksum=sha256:0 https://a.example/x /\n"), [2]);
}

#[test]
fn what_is_wrong_everywhere_is_said_of_the_first_lines() {
    let text = "#escape=x\n".repeat(100_000) + "FROM scratch\n";
    assert_eq!(lines(&text), (1..=20).collect::<Vec<_>>());
}
