//! Repositories over smart HTTP, by git's own CGI program (`git help http-backend`).

use crate::{Body, respond};
use futures_util::StreamExt as _;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, BodyStream, StreamBody};
use hyper::body::{Frame, Incoming};
use std::{io, path::Path, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, Command},
};

pub(crate) async fn answer(request: Request<Incoming>, root: &Path) -> Result<Response<Body>, io::Error> {
    let field =
        |name| request.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", request.method().as_str())
        .env("PATH_INFO", request.uri().path())
        .env("QUERY_STRING", request.uri().query().unwrap_or_default())
        .env("CONTENT_TYPE", field("content-type"))
        .env("HTTP_CONTENT_ENCODING", field("content-encoding"))
        .env("GIT_PROTOCOL", field("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    feed(&mut child, request.into_body());
    let Some(stdout) = child.stdout.take() else {
        return respond(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "no output of git\n");
    };
    let mut output = BufReader::new(stdout);
    let mut response = Response::builder();
    let mut line = String::new();
    while output.read_line(&mut line).await? > 0 && !line.trim_end().is_empty() {
        let (name, value) = line.trim_end().split_once(": ").unwrap_or((line.trim_end(), ""));
        response = match (name, value.get(..3).and_then(|code| code.parse::<u16>().ok())) {
            ("Status", Some(code)) => response.status(code),
            _ => response.header(name, value),
        };
        line.clear();
    }
    let chunks = futures_util::stream::unfold((output, child), |(mut output, child)| async {
        let mut chunk = bytes::BytesMut::with_capacity(64 * 1024);
        match output.read_buf(&mut chunk).await {
            Ok(0) => None,
            Ok(_) => Some((Ok(Frame::data(chunk.freeze())), (output, child))),
            Err(error) => Some((Err(error), (output, child))),
        }
    });
    response.body(StreamBody::new(chunks).boxed_unsync()).map_err(io::Error::other)
}

/// Copies the request's body to the program while its answer is being read.
fn feed(child: &mut Child, body: Incoming) {
    let Some(mut stdin) = child.stdin.take() else { return };
    tokio::spawn(async move {
        let mut frames = BodyStream::new(body);
        while let Some(Ok(frame)) = frames.next().await {
            let Ok(data) = frame.into_data() else { continue };
            if stdin.write_all(&data).await.is_err() {
                return;
            }
        }
    });
}
