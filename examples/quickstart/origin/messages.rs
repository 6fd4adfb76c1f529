//! The Messages API, as far as a client needs it for one turn of text.

use crate::{Body, respond};
use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};
use std::{io, time::Duration};

const WORDS: [&str; 5] = ["The ", "chain ", "runs, ", "end ", "to end."];
/// Between two events, so that a client can tell a stream from an answer that was held back.
const PAUSE: Duration = Duration::from_millis(150);

pub(crate) async fn answer(request: Request<Incoming>) -> Result<Response<Body>, io::Error> {
    let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let model = asked["model"].as_str().unwrap_or("quickstart").to_owned();
    if asked["stream"] != json!(true) {
        let message = message(&model, &[json!({"type": "text", "text": WORDS.concat()})], Some("end_turn"));
        return respond(StatusCode::OK, "application/json", message.to_string());
    }
    let events = stream::unfold(events(&model).into_iter(), |mut rest| async {
        let event = rest.next()?;
        tokio::time::sleep(PAUSE).await;
        let text = format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default());
        Some((Ok::<_, io::Error>(Frame::data(Bytes::from(text))), rest))
    });
    Response::builder()
        .header("content-type", "text/event-stream; charset=utf-8")
        .header("cache-control", "no-cache")
        .body(StreamBody::new(events).boxed_unsync())
        .map_err(io::Error::other)
}

fn message(model: &str, content: &[Value], stop_reason: Option<&str>) -> Value {
    json!({
        "id": "msg_quickstart", "type": "message", "role": "assistant", "model": model, "content": content,
        "stop_reason": stop_reason, "stop_sequence": null, "usage": {"input_tokens": 10, "output_tokens": 5},
    })
}

fn events(model: &str) -> Vec<Value> {
    let mut events = vec![
        json!({"type": "message_start", "message": message(model, &[], None)}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
    ];
    events.extend(WORDS.map(|word| {
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}})
    }));
    events.extend([
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null}, "usage": {"output_tokens": 5}}),
        json!({"type": "message_stop"}),
    ]);
    events
}
