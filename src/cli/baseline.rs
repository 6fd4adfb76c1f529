//! The baselines that a manifest must lie within: the one of `--within`, and the one that it names itself.

use super::folders::{absolute, folder_of, real};
use super::project::Project;
use super::{candidate, certificates, named_file};
use crate::capability::Capabilities;
use crate::diagnostic::{Diagnostic, Report};
use crate::manifest::{LARGEST, Manifest};
use crate::plan::{Plan, Surroundings};
use crate::review;
use crate::tree::read_plain;
use camino::Utf8Path;

/// What the manifest goes beyond them in.
pub(crate) fn beyond(project: &Project, named: Option<&Utf8Path>) -> anyhow::Result<Report> {
    let mut report = Report(Vec::new());
    if let Some(file) = named {
        report.0.extend(compare(project, file)?.0);
    }
    if let Some(file) = &project.loaded.manifest.within {
        let place = project.folder.join(file);
        if named.is_some_and(|named| absolute(named).is_ok_and(|named| real(&named) == real(&place))) {
            return Ok(report);
        }
        match compare(project, &place) {
            Ok(found) => report.0.extend(found.0),
            // The manifest names any file of this machine: what is in it is not shown.
            Err(_) => return Err(Report(vec![unreadable(project, file)]).into()),
        }
    }
    Ok(report)
}

fn unreadable(project: &Project, file: &Utf8Path) -> Diagnostic {
    let loaded = &project.loaded;
    Diagnostic::error("baseline", format!("`within` names {file}, which can't be read as a baseline"))
        .source(&loaded.source)
        .label(loaded.span_of("within"), "")
        .hint(format!("`bottle render --within {}` says what is wrong with it", shown(project, file)))
}

/// As a person types it from here.
fn shown(project: &Project, file: &Utf8Path) -> String {
    super::folders::beside(&project.file).join(file).as_str().trim_start_matches("./").to_owned()
}

fn compare(project: &Project, file: &Utf8Path) -> anyhow::Result<Report> {
    let text = read_plain(file, LARGEST as u64)?;
    let name = match file.strip_prefix(&project.folder) {
        Ok(inside) => shown(project, inside),
        Err(_) => file.to_string(),
    };
    let baseline = Manifest::load_baseline(&name, &text)?;
    let folder = folder_of(file)?;
    let manifest = &baseline.loaded.manifest;
    let extra_ca = manifest.pipelock.extra_ca.as_ref();
    let around = Surroundings {
        layout: project.plan.layout.clone(),
        extra_ca: extra_ca.map(|file| certificates::read(&folder, file)).transpose()?,
        push_rules: named_file::push_rules(manifest, |file, most| named_file::read(&folder, file, most))?,
    };
    let plan = Plan::resolve_loaded(&baseline.loaded, &around)?;
    // It bounds a manifest wherever that lies: `.` is the folder of the manifest.
    let most = capabilities(&plan, project);
    Ok(review::beyond((&project.loaded, &capabilities(&project.plan, project)), (&baseline, &most)))
}

/// The files of a build context are not bounded, only where they lie.
fn capabilities(plan: &Plan, project: &Project) -> Capabilities {
    Capabilities::from_plan(plan, &candidate::machine(plan, &project.folder, None))
}
