//! What a run says: a table in Markdown, and JSON.

use crate::contender::Kind;
use crate::figures::{Compared, Figures, Metric};
use crate::goals::goals;
use crate::machine::Machine;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The table, the goals and what went wrong.
pub(crate) fn text(figures: &Figures, kinds: &[Kind], machine: &Machine) -> Result<String, std::fmt::Error> {
    let mut out = format!("{machine}\n\n");
    let measured = measured(figures, kinds);
    let names: Vec<_> = measured.iter().map(|kind| kind.name()).collect();
    writeln!(out, "| | {} |", names.join(" | "))?;
    writeln!(out, "|---|{}", "---:|".repeat(measured.len()))?;
    for metric in Metric::ALL {
        if measured.iter().all(|&kind| figures.value(kind, metric).is_none()) {
            continue;
        }
        write!(out, "| {} |", metric.title())?;
        for &kind in &measured {
            write!(out, " {} |", cell(figures, kind, metric))?;
        }
        writeln!(out)?;
    }
    writeln!(out, "\n| goal | limit | this run | reached |\n|---|---:|---:|---|")?;
    for goal in goals(figures) {
        let value = goal.value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"));
        let reached = goal.is_reached().map_or("not measured", |it| if it { "yes" } else { "no" });
        writeln!(out, "| {} | {} | {value} | {reached} |", goal.text, goal.limit_text())?;
    }
    for (name, reason) in &figures.left_out {
        writeln!(out, "\n{name} is left out: {reason}")?;
    }
    if !figures.errors.is_empty() {
        writeln!(out, "\nThe first error of each load that had one:")?;
        figures.errors.iter().try_for_each(|error| writeln!(out, "- {error}"))?;
    }
    Ok(out)
}

/// Those that have a value.
pub(crate) fn measured(figures: &Figures, kinds: &[Kind]) -> Vec<Kind> {
    let has = |&&kind: &&Kind| Metric::ALL.iter().any(|&metric| figures.value(kind, metric).is_some());
    kinds.iter().filter(has).copied().collect()
}

/// The value, and beside it the ratio to the floor's.
fn cell(figures: &Figures, kind: Kind, metric: Metric) -> String {
    let Some(value) = figures.value(kind, metric) else { return "–".to_owned() };
    let shown = format!("{value:.*}", metric.decimals());
    match figures.ratio(kind, metric, Kind::Floor) {
        Some(ratio) if kind != Kind::Floor => format!("{shown} ({ratio:.2})"),
        _ => shown,
    }
}

pub(crate) fn json(figures: &Figures, kinds: &[Kind], machine: &Machine, settings: &Value) -> Value {
    let of_kind = |kind: Kind| {
        let of_metric = |metric: Metric| {
            let value = figures.value(kind, metric)?;
            let ratio = figures.ratio(kind, metric, Kind::Floor);
            let better = match metric.compared() {
                Compared::Less => Some("less"),
                Compared::More => Some("more"),
                Compared::Not => None,
            };
            let rounds = figures.rounds(kind, metric);
            let entry = json!({"value": value, "to_floor": ratio, "better": better, "rounds": rounds});
            Some((metric.key().to_owned(), entry))
        };
        let metrics: serde_json::Map<_, _> = Metric::ALL.into_iter().filter_map(of_metric).collect();
        (kind.name().to_owned(), Value::Object(metrics))
    };
    let contenders: serde_json::Map<_, _> = measured(figures, kinds).into_iter().map(of_kind).collect();
    let goals: Vec<_> = goals(figures)
        .iter()
        .map(|goal| json!({"goal": goal.text, "limit": goal.limit_text(), "value": goal.value, "reached": goal.is_reached()}))
        .collect();
    let left_out: serde_json::Map<_, _> =
        figures.left_out.iter().map(|(name, why)| ((*name).to_owned(), Value::from(why.as_str()))).collect();
    json!({
        "machine": machine.json(),
        "settings": settings,
        "contenders": contenders,
        "goals": goals,
        "left_out": left_out,
        "errors": figures.errors,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Figures {
        let mut figures = Figures::default();
        figures.add(Kind::Floor, Metric::Http1Cpu, 40.0);
        figures.add(Kind::BottleProxy, Metric::Http1Cpu, 50.0);
        figures.add(Kind::BottleProxy, Metric::Failed, 3.0);
        figures.left_out.push(("mitmproxy", "no Python".to_owned()));
        figures.errors.push("bottle-proxy, up, 3 failed: 502".to_owned());
        figures
    }

    #[test]
    fn the_table_has_ratios_and_says_what_failed() {
        let text = text(&figures(), &Kind::ALL, &Machine::default()).unwrap();
        assert!(text.contains("| | floor | bottle-proxy |\n"), "{text}");
        assert!(text.contains("| HTTP/1.1: CPU a request, µs | 40 | 50 (1.25) |\n"), "{text}");
        assert!(text.contains("| failed requests | – | 3 |\n"), "{text}");
        assert!(text.contains("| proxy: CPU a request, of the floor's | ≤ 1.3 | 1.25 | yes |\n"), "{text}");
        assert!(text.contains("mitmproxy is left out: no Python"), "{text}");
        assert!(text.contains("- bottle-proxy, up, 3 failed: 502"), "{text}");
    }

    #[test]
    fn the_json_has_each_round() {
        let json = json(&figures(), &Kind::ALL, &Machine::default(), &Value::Null);
        let entry = &json["contenders"]["bottle-proxy"]["http1_cpu_us"];
        assert_eq!(entry["to_floor"], 1.25);
        assert_eq!(entry["rounds"], json!([50.0]));
        assert_eq!(json["left_out"]["mitmproxy"], "no Python");
    }
}
