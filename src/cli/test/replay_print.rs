//! What came of a replay, as a text for people and as JSON.

use crate::explain::BottleRules;
use crate::printable::printable_name;
use crate::replay::{Change, Group, NotReplayed, Summary};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Groups of one change that a text shows.
const SHOWN: usize = 50;

/// The changes, the largest group of each first, then what did not change and what is unknown.
pub(super) fn text(summary: &Summary, rules: &BottleRules, rules_of: &str) -> String {
    let mut out = format!("{} replayed under {rules_of}", requests(summary.replayed()));
    if let Some((first, last)) = summary.span {
        let _ = write!(out, ", of {} to {} (UTC)", when(first), when(last)); // writing to a String can't fail
    }
    out.push('\n');
    for change in Change::ALL {
        let count = summary.groups.requests_of(change);
        if count == 0 {
            continue;
        }
        let (title, sign) = match change {
            Change::NewlyDenied => ("newly denied", '-'),
            Change::NewlyAllowed => ("newly allowed", '+'),
            Change::OtherCredential => ("allowed with another credential", '~'),
        };
        let _ = writeln!(out, "\n{title}: {}", requests(count));
        let groups = summary.groups.of(change);
        for group in groups.iter().take(SHOWN) {
            of_group(&mut out, sign, group, rules);
        }
        let hidden: u64 = groups.iter().skip(SHOWN).map(|group| group.requests).sum();
        if hidden > 0 {
            let _ = writeln!(out, "  and {} in smaller groups, which --format json lists", requests(hidden));
        }
        let rest = summary.groups.rest(change);
        if rest > 0 {
            let _ = writeln!(out, "  and {} in more groups than are told apart", requests(rest));
        }
    }
    let (allowed, denied) = (summary.still_allowed, summary.still_denied);
    let _ = writeln!(out, "\nsame: {} ({allowed} allowed, {denied} denied)", requests(allowed + denied));
    let unknown: Vec<(u64, NotReplayed)> = not_replayed(summary).collect();
    if !unknown.is_empty() {
        let all: u64 = unknown.iter().map(|(count, _)| count).sum();
        let _ = writeln!(out, "not replayed: {all}");
        let width = all.to_string().len();
        for (count, why) in unknown {
            let _ = writeln!(out, "  {count:>width$}  {}", why.text());
        }
    }
    if summary.more_under_way {
        out += "note: more requests were under way than are told apart, so more of them may be unfinished\n";
    }
    if summary.without_query > 0 {
        let were = if summary.without_query == 1 { "was" } else { "were" };
        let _ = writeln!(
            out,
            "note: {} had a query, which is not recorded, and {were} replayed without it",
            requests(summary.without_query)
        );
    }
    out + "note: fields and bodies are not recorded: what a scan of them would find now is not known\n"
}

fn of_group(out: &mut String, sign: char, group: &Group, rules: &BottleRules) {
    let name = format!("{} {}{}", group.method, group.origin, group.path);
    let times = match (when(group.first), when(group.last)) {
        (first, last) if first == last => first,
        (first, last) => format!("{first} to {last}"),
    };
    let _ = writeln!(out, "  {sign} {}", printable_name(&name)); // writing to a String can't fail
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(out, "      {name:<9}  {}", printable_name(value));
    };
    line("seen", &format!("{}, {times}", requests(group.requests)));
    match (&group.reason, group.decided_by, &group.credentials) {
        (Some(reason), Some(by), _) => line("now", &format!("{reason}, by {by}")),
        (Some(reason), None, _) => line("was", reason),
        (None, _, Some((then, now))) => {
            line("was", then.as_deref().unwrap_or("no credential"));
            line("now", now.as_deref().unwrap_or("no credential"));
        }
        (None, ..) => {}
    }
    if let Some(rule) = &group.rule {
        let place = rules.place_of(&rule.pointer).map(|place| format!("{place}, ")).unwrap_or_default();
        line("rule", &format!("{} ({place}{})", rule.id, rule.pointer));
    }
    if group.example != group.path {
        line("such as", &group.example);
    }
    if let Some(entry) = &group.entry {
        line("to allow", if group.example == group.path { "it:" } else { "that one:" });
        for one in entry.lines() {
            let _ = writeln!(out, "        {}", printable_name(one));
        }
    }
}

/// Everything; every key is always there.
pub(super) fn json(
    summary: &Summary,
    rules: &BottleRules,
    rules_of: &str,
    files: &[String],
    warnings: &[String],
) -> String {
    let mut value = json!({
        "bottle": rules.bottle,
        "rules": rules_of,
        "audit": files,
        "first": summary.span.map(|(first, _)| first),
        "last": summary.span.map(|(_, last)| last),
        "replayed": summary.replayed(),
        "same": {"allowed": summary.still_allowed, "denied": summary.still_denied},
    });
    for change in Change::ALL {
        let groups: Vec<Value> =
            summary.groups.of(change).into_iter().map(|group| group_json(group, rules)).collect();
        value[change.code()] = json!({
            "requests": summary.groups.requests_of(change),
            "groups": groups,
            "ungrouped": summary.groups.rest(change),
        });
    }
    let mut reasons = serde_json::Map::new();
    for why in NotReplayed::ALL {
        reasons.insert(why.code().to_owned(), count_of(summary, why).into());
    }
    value["not_replayed"] = reasons.into();
    value["without_query"] = summary.without_query.into();
    value["more_under_way"] = summary.more_under_way.into();
    value["warnings"] = json!(warnings);
    format!("{value:#}\n")
}

fn group_json(group: &Group, rules: &BottleRules) -> Value {
    json!({
        "method": group.method,
        "origin": group.origin,
        "path": group.path,
        "requests": group.requests,
        "first": group.first,
        "last": group.last,
        "example": group.example,
        "reason": group.reason,
        "decided_by": group.decided_by,
        "credential": group.credentials.as_ref().map(|(then, now)| json!({"was": then, "now": now})),
        "rule": group.rule.as_ref().map(|rule| {
            let place = rules.place_of(&rule.pointer);
            json!({
                "id": rule.id,
                "pointer": rule.pointer,
                "place": place.map(|place| json!({"file": place.file, "line": place.line})),
            })
        }),
        "entry": group.entry,
    })
}

/// Why nothing could be replayed, as the end of a sentence.
pub(super) fn why_none(summary: &Summary) -> String {
    let reasons: Vec<String> =
        not_replayed(summary).map(|(count, why)| format!("{count} {}", why.text())).collect();
    if reasons.is_empty() { ": there is none".to_owned() } else { format!(": {}", reasons.join("; ")) }
}

fn not_replayed(summary: &Summary) -> impl Iterator<Item = (u64, NotReplayed)> {
    NotReplayed::ALL.into_iter().map(|why| (count_of(summary, why), why)).filter(|(count, _)| *count > 0)
}

fn count_of(summary: &Summary, why: NotReplayed) -> u64 {
    summary.not_replayed.get(&why).copied().unwrap_or_default()
}

fn requests(count: u64) -> String {
    if count == 1 { "1 request".to_owned() } else { format!("{count} requests") }
}

fn when(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}
