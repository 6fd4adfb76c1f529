//! What init says: what it found and where, what it wrote, what comes next.

use super::files::File;
use crate::cli::source::FILE_NAME;
use crate::init::{Findings, Made, RouteLine, Sources, Version};
use crate::printable::printable_name;
use camino::Utf8Path;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Hosts that are listed; the manifest has all of them.
const LISTED: usize = 25;

/// The files, as they would be written.
pub(super) fn text_of_files(made: &Made, context: &str) -> String {
    let mut out = made.manifest.clone();
    for (path, text) in &made.context {
        // Writing to a String can't fail.
        let _ = write!(out, "\n# ---- {context}/{path}\n{text}");
    }
    out
}

/// What was found.
pub(super) fn found(made: &Made, sources: &Sources) -> String {
    let Made { findings, routes, .. } = made;
    let mut out = format!("agent   {} ({})\n", made.agent.name(), made.agent_source);
    // Writing to a String can't fail.
    let _ = writeln!(out, "image   {}", image(findings));
    for (at, route) in routes.iter().take(LISTED).enumerate() {
        let head = if at == 0 { "hosts " } else { "" };
        let _ = writeln!(out, "{head:<8}{}", host(route));
    }
    if routes.len() > LISTED {
        let _ = writeln!(out, "        and {} more", routes.len() - LISTED);
    }
    if routes.is_empty() {
        out.push_str("hosts   none\n");
    }
    for private in &findings.private {
        let _ = writeln!(
            out,
            "private {} ({}): left out until its address range is written",
            private.host, private.source
        );
    }
    for text in &findings.missing {
        let _ =
            writeln!(out, "not known: {}; `bottle learn` adds it once it was refused", printable_name(text));
    }
    for note in findings.notes.iter().chain(&sources.unread) {
        let _ = writeln!(out, "note: {}", printable_name(note));
    }
    out
}

fn image(findings: &Findings) -> String {
    if let Some(base) = &findings.base {
        return format!("{} ({})", base.image, base.source);
    }
    let found: Vec<String> =
        languages(findings).map(|(name, it)| format!("{name} {} ({})", it.number, it.source)).collect();
    if found.is_empty() { "no language was found".to_owned() } else { found.join(", ") }
}

fn languages(findings: &Findings) -> impl Iterator<Item = (&'static str, &Version)> {
    let it = &findings.toolchains;
    let found =
        [("python", &it.python), ("rust", &it.rust), ("go", &it.go), ("java", &it.java), ("node", &it.node)];
    found.into_iter().filter_map(|(name, version)| Some((name, version.as_ref()?)))
}

fn host(route: &RouteLine) -> String {
    let paths = match route.path_allowlist.as_slice() {
        [] => String::new(),
        [path] => format!(" {path}"),
        [path, rest @ ..] => format!(" {path} and {} more", rest.len()),
    };
    let with = route.auth.map(|auth| format!(" with {}", auth.token_ref)).unwrap_or_default();
    let from = match route.sources.as_slice() {
        [one] => one.clone(),
        [one, rest @ ..] => format!("{one} and {} more", rest.len()),
        [] => String::new(),
    };
    printable_name(&format!("{}{paths}{with} ({from})", route.host)).into_owned()
}

/// What was written, and what a person does next.
pub(super) fn written(made: &Made, files: &[File], folder: &Utf8Path, sources: &Sources) -> String {
    let listed = |is_new: bool| -> Vec<&str> {
        files.iter().filter(|file| file.is_new == is_new).map(|file| file.path.as_str()).collect()
    };
    let mut out = format!("\nwrote {}\n", listed(true).join(", "));
    let kept = listed(false);
    // Writing to a String can't fail.
    if !kept.is_empty() {
        let _ = writeln!(out, "kept as they were: {}", kept.join(", "));
    }
    out.push_str("next:\n");
    if folder != "." {
        let _ = writeln!(out, "  cd {}", printable_name(folder.as_str()));
    }
    for auth in
        made.routes.iter().filter_map(|route| route.auth).filter(|auth| !sources.is_set(auth.token_ref))
    {
        let how = if auth.token_ref == "CLAUDE_CODE_OAUTH_TOKEN" {
            "   # `claude setup-token` gives one"
        } else {
            ""
        };
        let _ = writeln!(out, "  export {}=…{how}", auth.token_ref);
    }
    out.push_str("  bottle render   # shows what the agent could do, and asks\n  bottle run\n");
    out
}

/// The same for machines.
pub(super) fn json(made: &Made, context: &str, files: &[File]) -> anyhow::Result<String> {
    let findings = &made.findings;
    let version =
        |(name, it): (&str, &Version)| (name.to_owned(), json!({"version": it.number, "source": it.source}));
    let context: serde_json::Map<String, Value> =
        made.context.iter().map(|(path, text)| (format!("{context}/{path}"), json!(text))).collect();
    let written: Vec<Value> =
        files.iter().map(|file| json!({"path": file.path, "written": file.is_new})).collect();
    let private: Vec<Value> =
        findings.private.iter().map(|it| json!({"host": it.host, "source": it.source})).collect();
    let value = json!({
        "version": 1,
        "agent": {"name": made.agent.name(), "source": made.agent_source},
        "hosts": made.routes,
        "private_hosts": private,
        "base_image": findings.base.as_ref().map(|base| json!({"image": base.image, "source": base.source})),
        "languages": languages(findings).map(version).collect::<serde_json::Map<_, _>>(),
        "not_known": findings.missing,
        "notes": findings.notes,
        "manifest": {"path": FILE_NAME, "text": made.manifest},
        "context": context,
        "files": written,
    });
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}
