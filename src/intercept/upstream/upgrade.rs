//! A request that asks its upstream for another protocol (RFC 9110 §7.8), on a connection of its own.

use super::{
    Connected, Connector, MAX_HEAD_BYTES, SendError,
    http1::{MAX_FIELDS, head_bytes},
    message::{CONTRADICTION, Message, end_to_end, one_length},
    open::Open,
};
use crate::intercept::{Body, BodyError, Protocol, Stream, body};
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode,
    header::{CONNECTION, UPGRADE},
};
use http_body_util::BodyExt as _;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

/// What an upstream answers.
pub enum Switched {
    /// Another protocol from here on.
    Protocol {
        /// The fields of its answer 101, `Upgrade` among them.
        headers: HeaderMap,
        /// The connection.
        stream: Stream,
    },
    /// Nothing but a response.
    Response(Response<Body>),
}

/// Sends it, and waits for the head of the answer. `connector` must make a connection of HTTP/1.
pub(super) async fn upgrade<C: Connector>(
    connector: &C,
    key: &C::Key,
    protocol: &'static str,
    request: Request<Body>,
    open: Open,
) -> Result<Switched, SendError<C::Error>> {
    let message = Message::new(request)?;
    let connected = connector.connect(key).await.map_err(SendError::Connect)?;
    let Connected { stream, protocol: spoken, absolute_form, stream_window: _ } = connected;
    if spoken != Protocol::Http1 {
        return Err(SendError::Handshake("it speaks HTTP/2, where there is no upgrade".into()));
    }
    let mut builder = http1::Builder::new();
    builder.max_headers(MAX_FIELDS).max_buf_size(MAX_HEAD_BYTES as usize);
    let opened = builder.handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = opened.map_err(|error| SendError::Handshake(error.into()))?;
    // It ends with what is asked of it: when the answer's body, or the stream that it became, is over.
    tokio::spawn(async move {
        let _open = open;
        connection.with_upgrades().await
    });
    let mut request = message.http1(absolute_form);
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    request.headers_mut().insert(UPGRADE, HeaderValue::from_static(protocol));
    let mut response = sender.send_request(request).await.map_err(|error| message.failure(error.into()))?;
    if head_bytes(&response) > MAX_HEAD_BYTES as usize {
        let why = format!("its head is larger than {} KiB", MAX_HEAD_BYTES / 1024);
        return Err(SendError::Response(why.into()));
    }
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        if !one_length(response.headers_mut()) {
            return Err(SendError::Response(CONTRADICTION.into()));
        }
        end_to_end(&mut response);
        // The connection lives as long as its sender.
        return Ok(Switched::Response(response.map(|inner| {
            let held = inner.map_err(move |error| {
                let _ = &sender;
                BodyError::Upstream(Box::new(error))
            });
            body::boxed(held)
        })));
    }
    let headers = response.headers().clone();
    let upgraded = hyper::upgrade::on(response).await.map_err(|error| SendError::Send(error.into()))?;
    Ok(Switched::Protocol { headers, stream: Box::new(TokioIo::new(upgraded)) })
}
