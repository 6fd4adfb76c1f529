//! Text to `Manifest`: every problem in one report, each with its place in the source.
