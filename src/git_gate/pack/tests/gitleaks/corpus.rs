//! 264 commits, each of one new file: planted credentials and what is nearly one, always the same.

/// A commit.
pub(super) struct Case {
    /// Its file.
    pub(super) path: String,
    /// What stands in it.
    pub(super) content: Vec<u8>,
    /// Its message, behind `case NUMBER: `.
    pub(super) message: String,
    /// Where the two look at it in different ways; nothing where they don't.
    pub(super) apart: Option<&'static str>,
}

/// Numbers that look like chance and are not.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap()
    }

    fn text(&mut self, of: &str, length: usize) -> String {
        let letters: Vec<char> = of.chars().collect();
        (0..length).map(|_| letters[self.next() % letters.len()]).collect()
    }
}

const LOWER: &str = "abcdefghijklmnopqrstuvwxyz0123456789";
const ALL: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A credential of a family and the line around it; `none` makes one that repeats a letter.
fn planted(family: usize, numbers: &mut Numbers, short: usize, none: bool) -> (&'static str, String) {
    let mut random = |of: &str, length: usize| {
        if none { "a".repeat(length - short) } else { numbers.text(of, length - short) }
    };
    match family {
        0 => ("config.yaml", format!("acme_{}", random(LOWER, 20))),
        1 => ("ci.yml", format!("ghp_{}", random(ALL, 36))),
        2 => ("app.ini", format!("service_api_key = \"{}\"", random(ALL, 24 - short))),
        3 => {
            let body: String = (0..12).map(|_| random(ALL, 64) + "\n").collect();
            let kind = ["PRIVATE KEY", "RSA PRIVATE KEY", "PRIVATE KEX"]
                [if short > 0 { 2 } else { usize::from(none) }];
            ("server.pem", format!("-----BEGIN {kind}-----\n{body}-----END {kind}-----"))
        }
        4 => (if short > 0 { "store.p1" } else { "store.p12" }, random(ALL, 40)),
        5 => (if short > 0 { "x.env" } else { ".env" }, format!("PASSWORD={}", random(ALL, 16))),
        _ => ("deploy.tf", format!("AKIA{}", random(UPPER, 16))),
    }
}

/// The commits.
pub(super) fn cases() -> Vec<Case> {
    let mut numbers = Numbers(1);
    let mut cases = Vec::new();
    for round in 0..3 {
        for family in 0..7 {
            for variant in 0..12 {
                let short = usize::from(variant == 1);
                let (name, secret) = planted(family, &mut numbers, short, variant == 2);
                let number = cases.len();
                let folder = match variant {
                    3 => "vendor/lib",
                    4 => "docs/guide",
                    _ => "src",
                };
                let before = "line\n".repeat(numbers.next() % 40);
                let line = match variant {
                    4 => format!("for example {secret}"),
                    6 => format!("{secret} # gitleaks:allow"),
                    7 => format!("{secret}EXAMPLE dummy"),
                    8 => format!("x00000000{secret}"),
                    9 => secret.to_uppercase(),
                    10 => format!("\"{secret}\";\n{secret}\n"),
                    _ => secret.clone(),
                };
                let mut content = format!("{before}{line}\nthe end {number}\n").into_bytes();
                let (mut message, mut apart) = (format!("add {name}"), (variant == 6).then_some("comment"));
                if variant == 11 {
                    apart = Some(["binary", "message", "encoded"][round]);
                    match round {
                        0 => content.insert(0, 0),
                        1 => (content, message) = (format!("nothing {number}\n").into_bytes(), secret),
                        _ => {
                            content =
                                content.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect();
                        }
                    }
                }
                let path = match variant {
                    5 => format!("packages/{number}/auth-token/README.md"),
                    _ => format!("{folder}/{number}/{name}"),
                };
                cases.push(Case { path, content, message, apart });
            }
        }
        for plain in 0..4 {
            let number = cases.len();
            let text = [
                "fn main() {}",
                "const TOKEN_LENGTH: usize = 32;",
                "acme_ and ghp_ and AKIA",
                "api: see the docs",
            ][plain];
            let content = format!("{text}\n{number}\n").into_bytes();
            let (path, message) = (format!("src/{number}.rs"), "plain".to_owned());
            cases.push(Case { path, content, message, apart: None });
        }
    }
    cases
}

/// The same for `git fast-import`.
pub(super) fn stream(cases: &[Case]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, Case { path, content, message, apart: _ }) in cases.iter().enumerate() {
        let message = format!("case {number}: {message}\n");
        let head = format!(
            "commit refs/heads/main\ncommitter A <a@example.com> {} +0000\ndata {}\n{message}\nM 100644 inline {path}\ndata {}\n",
            1_700_000_000 + number,
            message.len(),
            content.len()
        );
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(content);
        out.push(b'\n');
    }
    out
}
