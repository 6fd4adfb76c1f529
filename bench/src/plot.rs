//! A bar chart in SVG: what each contender costs, as a multiple of the floor.

use crate::contender::Kind;
use crate::figures::{Compared, Figures, Metric};
use crate::report::measured;
use std::fmt::Write as _;

const SHOWN: [Metric; 6] =
    [Metric::Http1Cpu, Metric::Http2Cpu, Metric::NewCpu, Metric::DownRate, Metric::UpRate, Metric::LowP50];
const LEFT: f64 = 240.0;
const WIDTH: f64 = 900.0;
const BAR: f64 = 16.0;
const GAP: f64 = 14.0;
const TOP: f64 = 56.0;
/// A bar that would be longer ends here, with its number beside it.
const MOST: f64 = 6.0;

fn colour(kind: Kind) -> &'static str {
    match kind {
        Kind::Direct => "#9aa0a6",
        Kind::Floor => "#5f6368",
        Kind::BottleProxy => "#1a73e8",
        Kind::BottleChain => "#174ea6",
        Kind::Hudsucker => "#e8710a",
        Kind::Mitmproxy => "#b31412",
    }
}

/// How many times the floor's cost; of what is better when it is more, the floor's over its own.
fn cost(figures: &Figures, kind: Kind, metric: Metric) -> Option<f64> {
    let ratio = figures.ratio(kind, metric, Kind::Floor)?;
    Some(if metric.compared() == Compared::More { 1.0 / ratio } else { ratio })
}

pub(crate) fn svg(figures: &Figures, kinds: &[Kind]) -> Result<String, std::fmt::Error> {
    let kinds: Vec<Kind> = measured(figures, kinds).into_iter().filter(|&kind| kind != Kind::Floor).collect();
    let scale = (WIDTH - LEFT - 90.0) / MOST;
    let mut bars = String::new();
    let mut y = TOP;
    for metric in SHOWN {
        let values: Vec<_> =
            kinds.iter().filter_map(|&kind| Some((kind, cost(figures, kind, metric)?))).collect();
        if values.is_empty() {
            continue;
        }
        writeln!(
            bars,
            r#"<text x="12" y="{:.0}" font-weight="bold">{}</text>"#,
            y + 13.0,
            escaped(title(metric))
        )?;
        for (kind, value) in values {
            let width = value.min(MOST) * scale;
            let (name, colour) = (kind.name(), colour(kind));
            writeln!(
                bars,
                r#"<rect x="{LEFT}" y="{y:.0}" width="{width:.1}" height="{:.0}" fill="{colour}"><title>{name}: {value:.2}</title></rect>"#,
                BAR - 2.0
            )?;
            writeln!(
                bars,
                r#"<text x="{:.1}" y="{:.0}">{value:.2} {name}</text>"#,
                LEFT + width + 5.0,
                y + 12.0
            )?;
            y += BAR;
        }
        y += GAP;
    }
    let floor = LEFT + scale;
    let mut out = String::new();
    writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH:.0}" height="{y:.0}" viewBox="0 0 {WIDTH:.0} {y:.0}" font-family="sans-serif" font-size="12">"#
    )?;
    writeln!(out, r##"<rect width="100%" height="100%" fill="#ffffff"/>"##)?;
    writeln!(
        out,
        r#"<text x="12" y="24" font-size="15">What each costs, as a multiple of a bare TLS relay (less is better)</text>"#
    )?;
    writeln!(
        out,
        r##"<line x1="{floor:.1}" y1="40" x2="{floor:.1}" y2="{:.0}" stroke="#5f6368" stroke-dasharray="4 3"/>"##,
        y - GAP
    )?;
    writeln!(out, r#"<text x="{:.1}" y="48">floor = 1</text>"#, floor + 4.0)?;
    out.push_str(&bars);
    out.push_str("</svg>\n");
    Ok(out)
}

fn title(metric: Metric) -> &'static str {
    match metric {
        Metric::DownRate => "time for a MiB down",
        Metric::UpRate => "time for a MiB up",
        _ => metric.title(),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_better_when_it_is_more_is_turned_round() {
        let mut figures = Figures::default();
        figures.add(Kind::Floor, Metric::DownRate, 300.0);
        figures.add(Kind::BottleChain, Metric::DownRate, 150.0);
        figures.add(Kind::Floor, Metric::Http1Cpu, 10.0);
        figures.add(Kind::Mitmproxy, Metric::Http1Cpu, 900.0);
        let svg = svg(&figures, &Kind::ALL).unwrap();
        assert!(svg.contains(">2.00 bottle-chain</text>"), "{svg}");
        assert!(svg.contains(">90.00 mitmproxy</text>"), "{svg}");
        assert!(svg.contains(r#"width="570.0""#), "a long bar ends: {svg}");
        assert!(!svg.contains("floor: 1.00"), "{svg}");
    }
}
