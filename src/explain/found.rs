//! A secret that a proxy finds in the question.

use crate::dlp::Finding;
use crate::verdict::{
    egress_proxy::Leak,
    pipelock::{Block, Part},
};

/// A secret in a request; holds no byte of it.
#[derive(Debug)]
pub struct Found {
    /// `the URL`, `the field cookie`, `the body`.
    pub place: String,
    /// What it is.
    pub finding: Finding,
}

impl Found {
    pub(super) fn of_leak(Leak { field, finding }: Leak) -> Self {
        Self { place: format!("the field {field}"), finding }
    }

    pub(super) fn of_block(block: &Block) -> Option<Self> {
        let Block::Dlp { part, finding, location } = block else { return None };
        let place = match (part, location) {
            (Part::Method, _) => "the method".to_owned(),
            (Part::Url, _) => "the URL".to_owned(),
            (Part::Header, Some(name)) => format!("the field {name}"),
            (Part::Header, None) => "a field".to_owned(),
            (Part::Body, _) => "the body".to_owned(),
        };
        Some(Self { place, finding: finding.clone() })
    }
}
