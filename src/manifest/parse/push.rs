//! What a git push may change.

use super::super::findings::{Findings, quoted};
use super::super::item::Item;
use super::super::raw;
use super::file_path::project_path;
use crate::policy::{
    DEFAULT_MAX_PACK, HostPattern, LARGEST_MAX_PACK, PushRules, RefPattern, RefPatternError, SecretRules,
    size,
};

/// Entries of `refs`: a person has to read them.
const MOST: usize = 50;

/// What the route at `pointer` says of pushes to its host.
pub(super) fn rules(
    git: Option<raw::Git>,
    host: Option<&HostPattern>,
    pointer: &str,
    findings: &mut Findings<'_>,
) -> Option<PushRules> {
    let raw::GitPush { refs, create, delete, force, max_pack, rules } = git?.push?;
    let at = &format!("{pointer}.git.push");
    if let Some(host) = host.filter(|host| host.exact().is_none()) {
        let problem = findings.key("git-push", at, format!("a push goes to one host, and `{host}` is many"));
        findings.push(problem.hint("write a route of its own for the host that takes the pushes"));
    }
    Some(PushRules {
        refs: self::refs(refs.unwrap_or_default(), &format!("{at}.refs"), findings),
        create: create.unwrap_or(true),
        delete: delete.unwrap_or(false),
        force: force.unwrap_or(false),
        max_pack: max_pack
            .and_then(|text| self::max_pack(&text, &format!("{at}.max_pack"), findings))
            .unwrap_or(DEFAULT_MAX_PACK),
        rules: rules
            .and_then(|file| project_path(&file, &format!("{at}.rules"), findings))
            .map(SecretRules::named),
    })
}

fn refs(items: Vec<Item<String>>, key: &str, findings: &mut Findings<'_>) -> Vec<RefPattern> {
    if items.len() > MOST {
        let message = format!("{} entries, and a route has {MOST} at most", items.len());
        let problem = findings.value("too-many", key, message);
        findings.push(problem.hint("nobody can review as many"));
    }
    let mut out: Vec<RefPattern> = Vec::new();
    for (index, text) in items.into_iter().take(MOST).enumerate() {
        let Some(text) = text.0 else { continue };
        let at = format!("{key}[{index}]");
        let problem = match RefPattern::parse(&text) {
            Err(error) => {
                let message = format!("{} is no ref: {error}", quoted(&text));
                findings.value("git-push", &at, message).hint(advice(&text, error))
            }
            Ok(entry) => match out.iter().find(|other| other.covers(&entry)) {
                Some(other) if *other == entry => findings
                    .value("duplicate", &at, format!("{} is listed twice", quoted(&text)))
                    .hint("remove one of the two"),
                Some(other) => findings
                    .value(
                        "git-push",
                        &at,
                        format!("{} allows nothing that `{other}` does not", quoted(&text)),
                    )
                    .hint("remove it, or narrow the other"),
                None => {
                    out.push(entry);
                    continue;
                }
            },
        };
        findings.push(problem);
    }
    out
}

/// The entry that was probably meant, or what an entry is.
fn advice(text: &str, error: RefPatternError) -> String {
    let meant = match error {
        RefPatternError::Stars => return "one `*` stands for `/`, too: refs/heads/agent/*".to_owned(),
        RefPatternError::Name(_) if text.contains('/') || !text.contains('*') => {
            let tail = text.trim_start_matches('/').trim_start_matches("heads/").trim_end_matches('/');
            format!("refs/heads/{tail}")
        }
        RefPatternError::Name(_) => String::new(),
    };
    match RefPattern::parse(&meant) {
        Ok(_) if meant != text => format!("write the full name: {meant}"),
        _ => "write a full name, such as refs/heads/agent/*".to_owned(),
    }
}

fn max_pack(text: &str, at: &str, findings: &mut Findings<'_>) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match &text[digits.len()..] {
        "KiB" => Some(10),
        "MiB" => Some(20),
        _ => None,
    };
    let bytes = digits.parse::<u64>().ok().zip(shift).and_then(|(n, shift)| n.checked_mul(1 << shift));
    let problem = match bytes {
        Some(bytes) if (1..=LARGEST_MAX_PACK).contains(&bytes) => return Some(bytes),
        Some(0) => findings.value("git-push", at, "a pack of 0 bytes is none".to_owned()),
        Some(_) => {
            let message =
                format!("{} is more than egress-proxy holds, {}", quoted(text), size(LARGEST_MAX_PACK));
            findings.value("git-push", at, message)
        }
        None => findings.value("git-push", at, format!("{} is no size of a pack", quoted(text))),
    };
    findings.push(problem.hint("write a whole number with `KiB` or `MiB`, at most 128MiB: 50MiB"));
    None
}
