//! The file formats between the two halves: written by `render`, read by the runtimes. Typed and strict.
