//! Files of a folder: a registry of packages, as far as its clients read it.

use crate::{Body, respond};
use http::{Response, StatusCode};
use std::{
    io,
    path::{Component, Path},
};

/// `ROOT/HOST/PATH`, without a query; of a folder its `index.html`.
pub(crate) fn answer(root: &Path, host: &str, path: &str) -> Result<Response<Body>, io::Error> {
    let path = path.split('?').next().unwrap_or_default();
    let below = Path::new(host.split(':').next().unwrap_or_default()).join(path.trim_matches('/'));
    let is_plain = below.components().all(|part| matches!(part, Component::Normal(_)));
    let named = root.join(below);
    let file = if named.is_dir() { named.join("index.html") } else { named };
    match fs_err::read(&file) {
        Ok(bytes) if is_plain => {
            let is_page = file.extension().is_some_and(|it| it == "html");
            let content_type = if is_page { "text/html" } else { "application/octet-stream" };
            respond(StatusCode::OK, content_type, bytes)
        }
        _ => respond(StatusCode::NOT_FOUND, "text/plain", "no such file\n"),
    }
}
