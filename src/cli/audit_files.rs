//! Audit records that arguments name: files, plain or gzip, `-` for stdin, and audit folders.

use crate::telemetry::audit::{AuditFile, AuditReader, Entry, Series, Skipped};
use crate::tree::open_plain;
use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};

/// Gives every record of all of them, and what was passed over.
pub(crate) fn read(arguments: &[Utf8PathBuf], mut each: impl FnMut(&Entry)) -> anyhow::Result<Skipped> {
    let mut all = Skipped::default();
    for argument in arguments {
        let mut records = 0_u64;
        let mut see = |entry: &Entry| {
            records += 1;
            each(entry);
        };
        let skipped = if argument.is_dir() && !argument.is_symlink() {
            folder(argument, &mut see)?
        } else {
            file(argument, &mut see).with_context(|| format!("can't read {argument}"))?
        };
        anyhow::ensure!(
            records > 0 || skipped.lines == 0,
            "{argument} is not an audit log: none of its {} lines is a record",
            skipped.lines
        );
        all.lines += skipped.lines;
    }
    Ok(all)
}

fn file(argument: &Utf8Path, each: &mut dyn FnMut(&Entry)) -> anyhow::Result<Skipped> {
    let mut file = if argument == "-" {
        AuditFile::new(std::io::stdin())?
    } else {
        AuditFile::new(open_plain(argument)?)?
    };
    while let Some(entry) = file.next()? {
        each(&entry);
    }
    Ok(file.skipped())
}

/// What is there now.
fn folder(argument: &Utf8Path, each: &mut dyn FnMut(&Entry)) -> anyhow::Result<Skipped> {
    let mut reader = AuditReader::open(&[argument], &Series::ALL, None)?;
    while let Some(entry) = reader.next()? {
        each(&entry);
    }
    Ok(reader.skipped())
}
