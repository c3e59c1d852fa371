//! Calls by descriptor: any RPC, any bytes, any credential.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use futures::StreamExt;
use http::uri::PathAndQuery;
use prost::Message;
use prost_reflect::{DynamicMessage, Value};
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};
use tonic_types::StatusExt;

use crate::{
    app::App,
    contract::{Rpc, reasons},
};

/// A stream that says nothing for so long has accepted the request.
const QUIET: Duration = Duration::from_millis(300);

/// Bytes as they are.
#[derive(Debug, Clone, Copy, Default)]
struct AsIs;

impl Codec for AsIs {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        *self
    }
    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for AsIs {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for AsIs {
    type Item = Bytes;
    type Error = Status;
    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// Calls an RPC with one message and gives the replies: of a stream those that come at once.
///
/// # Errors
/// The status; also the first that a reply carries for its record (`verdicts[].error`, `results[].error`).
pub async fn call(app: &App, rpc: &Rpc, message: &DynamicMessage) -> Result<Vec<DynamicMessage>, Status> {
    call_bytes(app, rpc, message.encode_to_vec()).await
}

/// The same with any bytes for a message.
///
/// # Errors
/// As [`call`].
pub async fn call_bytes(app: &App, rpc: &Rpc, message: Vec<u8>) -> Result<Vec<DynamicMessage>, Status> {
    let mut client = Grpc::new(app.line(rpc.home));
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path: PathAndQuery = format!("/{}", rpc.name).parse().expect("a path");
    let messages = tokio_stream::once(Bytes::from(message));
    let mut replies = client.streaming(Request::new(messages), path, AsIs).await?.into_inner();
    let mut found = Vec::new();
    loop {
        let next = if rpc.method.is_server_streaming() && !rpc.method.is_client_streaming() {
            match tokio::time::timeout(QUIET, replies.next()).await {
                Ok(next) => next,
                Err(_) => break,
            }
        } else {
            replies.next().await
        };
        let Some(bytes) = next.transpose()? else { break };
        let reply = DynamicMessage::decode(rpc.method.output(), bytes)
            .map_err(|error| Status::data_loss(format!("an unreadable reply: {error}")))?;
        if let Some(refused) = refused_record(&reply) {
            return Err(refused);
        }
        found.push(reply);
        if rpc.method.is_server_streaming() && !rpc.method.is_client_streaming() && found.len() >= 4 {
            break;
        }
    }
    Ok(found)
}

/// The status that a reply carries for its first record.
fn refused_record(reply: &DynamicMessage) -> Option<Status> {
    for list in ["verdicts", "results"] {
        let Some(found) = reply.get_field_by_name(list) else { continue };
        for item in found.as_list().unwrap_or_default() {
            let Some(item) = item.as_message().filter(|item| item.has_field_by_name("error")) else { continue };
            let error = item.get_field_by_name("error")?;
            let error = error.as_message()?;
            let code = error.get_field_by_name("code").and_then(|v| v.as_i32()).unwrap_or_default();
            let message = error.get_field_by_name("message").and_then(|v| v.as_str().map(str::to_owned));
            let details = Bytes::from(error.encode_to_vec());
            return Some(Status::with_details(Code::from(code), message.unwrap_or_default(), details));
        }
    }
    None
}

/// What a status says to programs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusal {
    /// `ErrorInfo.reason`.
    pub reason: String,
    /// `ErrorInfo.domain`.
    pub domain: String,
    /// `BadRequest.field_violations[].field`.
    pub fields: Vec<String>,
}

impl Refusal {
    /// Reads the details.
    pub fn of(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        Self {
            reason: info.map(|info| info.reason.clone()).unwrap_or_default(),
            domain: info.map(|info| info.domain.clone()).unwrap_or_default(),
            fields: details
                .bad_request()
                .map(|request| request.field_violations.iter().map(|v| v.field.clone()).collect())
                .unwrap_or_default(),
        }
    }

    /// Whether one of the fields is `path` or lies below it.
    pub fn names(&self, path: &str) -> bool {
        self.fields
            .iter()
            .any(|field| field.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '['])))
    }
}

/// What is wrong with a refusal as such: an unpublished reason, a code that is not the reason's, a mistake of ours.
///
/// # Errors
/// What is wrong.
pub fn lawful(status: &Status) -> Result<(), String> {
    if matches!(status.code(), Code::Internal | Code::Unknown | Code::DataLoss | Code::Ok) {
        return Err(format!("{:?}: {}", status.code(), status.message()));
    }
    let refusal = Refusal::of(status);
    if refusal.domain != "rapport" {
        return Err(format!("no ErrorInfo of `rapport`: {:?}: {}", status.code(), status.message()));
    }
    match reasons().get(&refusal.reason) {
        None => Err(format!("the reason {} is not published", refusal.reason)),
        Some(code) if *code != status.code() => {
            Err(format!("{} goes with {code:?}, not {:?}: {}", refusal.reason, status.code(), status.message()))
        }
        Some(_) => Ok(()),
    }
}

/// The same of a request that can be read: wrong fields have names.
///
/// # Errors
/// What is wrong.
pub fn lawful_and_named(status: &Status) -> Result<(), String> {
    lawful(status)?;
    let refusal = Refusal::of(status);
    if refusal.reason == "INVALID_FIELDS" && refusal.fields.is_empty() {
        return Err(format!("names no field: {}", status.message()));
    }
    Ok(())
}

/// A message for people.
pub fn shown(message: &DynamicMessage) -> String {
    serde_json::to_string(message).unwrap_or_else(|error| error.to_string())
}

/// A field's value, by a dotted path.
pub fn field(message: &DynamicMessage, path: &str) -> Option<Value> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let value = message.get_field_by_name(first)?.into_owned();
    match rest {
        None => Some(value),
        Some(rest) => field(value.as_message()?, rest),
    }
}
