//! The rendered files on disk: atomic writes, the hand-edit guard, the comparison.
