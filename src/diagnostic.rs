//! One type for everything that is said to a person: code, message, place in the source, hints.
