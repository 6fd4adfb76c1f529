//! The attack suite that ships in the binary: what an agent would try, and whether it got through.
