//! Files of the repository that are generated: compared, or written with `UPDATE_GOLDEN=1`.

use fs_err as fs;
use std::path::Path;

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compares with a committed file, or writes it.
pub(crate) fn assert_golden(path: &Path, actual: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, actual).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    let name = path.strip_prefix(root()).unwrap().display();
    assert!(
        actual == expected,
        "{name} differs (UPDATE_GOLDEN=1 rewrites it):\n{}",
        similar::TextDiff::from_lines(expected.as_str(), actual).unified_diff()
    );
}
