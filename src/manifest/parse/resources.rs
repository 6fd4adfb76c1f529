//! What a container may use of the machine.

use super::super::findings::{Findings, quoted};
use super::super::raw;
use crate::manifest::Resources;

/// Below this much memory no agent starts, and Docker itself refuses less than 6 MiB.
const LEAST_MEMORY: u64 = 64 << 20;

/// `pointer` is where they stand: `agent.resources`.
pub(super) fn resources(raw: raw::Resources, pointer: &str, findings: &mut Findings<'_>) -> Resources {
    let raw::Resources { memory, cpus, pids } = raw;
    Resources {
        memory: memory.and_then(|text| self::memory(&text, &format!("{pointer}.memory"), findings)),
        millicpus: cpus.and_then(|number| millicpus(number, &format!("{pointer}.cpus"), findings)),
        pids: pids.and_then(|number| self::pids(number, &format!("{pointer}.pids"), findings)),
    }
}

fn memory(text: &str, at: &str, findings: &mut Findings<'_>) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match &text[digits.len()..] {
        "k" => Some(10),
        "m" => Some(20),
        "g" => Some(30),
        _ => None,
    };
    let bytes = digits.parse::<u64>().ok().zip(shift).and_then(|(n, shift)| n.checked_mul(1 << shift));
    let problem = match bytes {
        Some(bytes) if bytes >= LEAST_MEMORY => return Some(bytes),
        Some(_) => findings.value("resources", at, format!("{} is too little to run in", quoted(text))),
        None => findings.value("resources", at, format!("{} is no amount of memory", quoted(text))),
    };
    findings.push(problem.hint("write a whole number with `k`, `m` or `g`, at least 64m: 8g"));
    None
}

fn millicpus(number: f64, at: &str, findings: &mut Findings<'_>) -> Option<u32> {
    if (0.01..=4096.0).contains(&number) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range was checked"
        )]
        return Some((number * 1000.0).round() as u32);
    }
    let message = format!("{number} is no number of processors");
    let problem = findings.value("resources", at, message);
    findings.push(problem.hint("write a number from 0.01 to what the machine has: 2 or 1.5"));
    None
}

fn pids(number: u32, at: &str, findings: &mut Findings<'_>) -> Option<u32> {
    if (1..=4_194_304).contains(&number) {
        return Some(number);
    }
    let message = format!("{number} is no number of processes");
    let problem = findings.value("resources", at, message);
    findings.push(problem.hint("write a number from 1 to 4194304, the kernel's largest: 4096"));
    None
}
