//! Faults to gRPC statuses at the edge, and back when a peer answers with one.

use std::{borrow::Cow, collections::HashMap, sync::Arc, time::Duration};

use parking_lot::RwLock;
use terms::{Fault, FaultKind, Reason, Violation};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, PreconditionViolation, StatusExt};

/// The domain of every `google.rpc.ErrorInfo` of ours.
pub const DOMAIN: &str = "rapport";

/// Metadata of `INTERNAL`: the id by which the log is searched.
const INCIDENT: &str = "incident";
/// Metadata of `INVALID_FIELDS`: how many violations there are.
const COUNT: &str = "count";

/// The canonical code of a class of faults.
pub const fn code(kind: FaultKind) -> Code {
    match kind {
        FaultKind::Invalid => Code::InvalidArgument,
        FaultKind::NotFound => Code::NotFound,
        FaultKind::AlreadyExists => Code::AlreadyExists,
        FaultKind::Precondition => Code::FailedPrecondition,
        FaultKind::Stale => Code::Aborted,
        FaultKind::OutOfRange => Code::OutOfRange,
        FaultKind::Unauthenticated => Code::Unauthenticated,
        FaultKind::Denied => Code::PermissionDenied,
        FaultKind::Exhausted => Code::ResourceExhausted,
        FaultKind::Unavailable => Code::Unavailable,
        FaultKind::Late => Code::DeadlineExceeded,
        FaultKind::Cancelled => Code::Cancelled,
        FaultKind::Unserved => Code::Unimplemented,
        FaultKind::Internal => Code::Internal,
    }
}

/// The status of a fault: its code, its message, and `google.rpc` details for programs. The fault itself stays
/// inside as the source, for the log; it does not travel.
pub fn status(fault: Fault) -> Status {
    let mut status = told(&fault, None);
    status.set_source(Arc::new(fault));
    status
}

/// The longest message or description that travels, in bytes; they may quote what the caller sent.
const TEXT: usize = 400;
/// The longest path or name, in bytes.
const NAME: usize = 160;
/// All violations together, in bytes. A status travels in HTTP headers, where 8 KiB in all is what every client takes;
/// `count` says how many violations there are.
const VIOLATIONS: usize = 4 << 10;

/// The beginning of a text, of at most `most` bytes and the mark of what is left out.
fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}…", &text[..text.floor_char_boundary(most)]))
}

/// As many violations as there is room for, cut to size: the field and what is wrong with it.
fn told_violations(violations: &[Violation]) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
    let mut room = VIOLATIONS;
    let each = violations.iter().map(|v| (cut(&v.field, NAME), cut(&v.description, TEXT)));
    each.take_while(|(field, description)| {
        let enough = room >= field.len() + description.len();
        room = room.saturating_sub(field.len() + description.len());
        enough
    })
    .collect()
}

/// What the caller is told of a fault, cut to what headers hold. `incident` is the call's id: it goes with our own mistakes, so that the log can
/// be searched for it.
pub(crate) fn told(fault: &Fault, incident: Option<&str>) -> Status {
    let reason = fault.reason();
    let mut metadata: HashMap<String, String> =
        fault.metadata().iter().map(|(key, value)| ((*key).to_owned(), cut(value, TEXT).into_owned())).collect();
    match (reason, incident) {
        (Reason::Internal, Some(id)) if !id.is_empty() => {
            metadata.entry(INCIDENT.to_owned()).or_insert_with(|| id.to_owned());
        }
        (Reason::InvalidFields, _) => {
            metadata.insert(COUNT.to_owned(), fault.violations().len().to_string());
        }
        _ => {}
    }
    let mut details = ErrorDetails::new();
    details.set_error_info(reason.as_str(), DOMAIN, metadata);
    if let Some(delay) = fault.retry_delay().or_else(|| default_delay(reason)) {
        details.set_retry_info(Some(delay));
    }
    let message = cut(fault.message(), TEXT);
    let violations = told_violations(fault.violations());
    match fault.kind() {
        FaultKind::Precondition => {
            details.set_precondition_failure(preconditions(fault, &message, &violations));
        }
        FaultKind::NotFound => {
            let (kind, name) = resource(fault);
            details.set_resource_info(kind, name, "", &*message);
        }
        _ if !violations.is_empty() => {
            let fields = violations.iter().map(|(field, description)| FieldViolation::new(&**field, &**description));
            details.set_bad_request(fields.collect::<Vec<_>>());
        }
        _ => {}
    }
    Status::with_error_details(code(fault.kind()), message, details)
}

/// When a retry makes sense, where the fault does not say so itself.
const fn default_delay(reason: Reason) -> Option<Duration> {
    match reason.kind() {
        FaultKind::Stale if matches!(reason, Reason::WriteConflict) => Some(Duration::from_millis(20)),
        FaultKind::Unavailable => Some(Duration::from_millis(200)),
        _ => None,
    }
}

fn preconditions(
    fault: &Fault,
    message: &str,
    violations: &[(Cow<'_, str>, Cow<'_, str>)],
) -> Vec<PreconditionViolation> {
    let kind = fault.reason().as_str();
    if violations.is_empty() {
        let subject = fault.metadata().first().map_or("", |(_, value)| value.as_str());
        return vec![PreconditionViolation::new(kind, cut(subject, NAME), message)];
    }
    violations.iter().map(|(field, why)| PreconditionViolation::new(kind, &**field, &**why)).collect()
}

/// `CUSTOMER_NOT_FOUND` with the metadata `customer_id` is about the resource `rapport/customer` of that id.
fn resource(fault: &Fault) -> (String, Cow<'_, str>) {
    let kind = fault.reason().as_str().trim_end_matches("_NOT_FOUND").to_ascii_lowercase();
    let name = fault.metadata().first().map_or("", |(_, value)| value.as_str());
    (format!("{DOMAIN}/{kind}"), cut(name, NAME))
}

/// The cause of a fault that another service told us: that service has logged it, with its own cause.
#[derive(Debug)]
pub(crate) struct ToldByPeer(Status);

impl std::fmt::Display for ToldByPeer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a peer answered {:?}: {}", self.0.code(), self.0.message())
    }
}

impl std::error::Error for ToldByPeer {}

/// The cause of a fault that came from a status without a reason of ours: of the transport, of a proxy, or of the gRPC
/// library. Nobody has logged it yet.
#[derive(Debug)]
struct Foreign(Status);

impl std::fmt::Display for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "status {:?}: {}", self.0.code(), self.0.message())
    }
}

impl std::error::Error for Foreign {}

/// The fault that a peer's status stands for: a fault of ours passes through unchanged, anything else becomes the
/// nearest one with the status as its cause.
pub fn fault(status: Status) -> Fault {
    let details = status.get_error_details();
    let known = details.error_info().filter(|info| info.domain == DOMAIN).and_then(|info| reason(&info.reason));
    let Some(reason) = known else {
        return foreign(status);
    };
    let mut fault = Fault::new(reason, status.message());
    if let Some(info) = details.error_info() {
        let mut metadata: Vec<_> = info.metadata.iter().collect();
        metadata.sort();
        for (key, value) in metadata.into_iter().filter(|(key, _)| *key != COUNT) {
            if let Some(key) = static_key(key) {
                fault = fault.with(key, value.as_str());
            }
        }
    }
    if let Some(delay) = details.retry_info().and_then(|info| info.retry_delay) {
        fault = fault.retry_after(delay);
    }
    if let Some(request) = details.bad_request() {
        let fields = request.field_violations.iter();
        fault = fault.violating(fields.map(|v| violation(&v.field, &v.description)));
    }
    if let Some(failure) = details.precondition_failure() {
        // One violation that repeats the message is what a fault without violations looks like.
        let each = failure.violations.iter().filter(|v| v.description != status.message());
        fault = fault.violating(each.map(|v| violation(&v.subject, &v.description)));
    }
    fault.because(ToldByPeer(status))
}

fn violation(field: &str, description: &str) -> Violation {
    Violation { field: field.to_owned(), description: description.to_owned() }
}

fn reason(text: &str) -> Option<Reason> {
    Reason::ALL.iter().copied().find(|r| r.as_str() == text)
}

/// A status that is not one of ours: of the transport, of a proxy, or of a newer release.
fn foreign(status: Status) -> Fault {
    let reason = match status.code() {
        Code::InvalidArgument => Reason::InvalidFields,
        Code::Unauthenticated => Reason::CredentialInvalid,
        Code::PermissionDenied => Reason::ScopeMissing,
        Code::Aborted => Reason::WriteConflict,
        Code::ResourceExhausted => Reason::Overloaded,
        Code::Unavailable => Reason::PeerUnavailable,
        Code::DeadlineExceeded | Code::Cancelled => Reason::DeadlineExceeded,
        Code::Unimplemented => Reason::NotYetServed,
        _ => return Fault::internal(Foreign(status)),
    };
    let message = match reason {
        Reason::PeerUnavailable => "another service that is needed does not answer; retry".to_owned(),
        _ => status.message().to_owned(),
    };
    Fault::new(reason, message).because(Foreign(status))
}

/// Whether a status without details is what the gRPC library says of a message that it could not read.
pub(crate) fn is_unreadable(status: &Status) -> bool {
    const SAYS: [&str; 8] = [
        "failed to decode Protobuf message",
        "protocol error: received message with",
        "Error decompressing",
        "Error, decoded message length too large",
        "Unexpected EOF decoding stream",
        "Missing request message",
        "delimiter",
        "buffer underflow",
    ];
    matches!(status.code(), Code::Internal | Code::OutOfRange | Code::ResourceExhausted)
        && SAYS.iter().any(|says| status.message().contains(says))
}

/// The fault of a request message that could not be read from the wire: the library's own statuses blame the server
/// where it is the caller's bytes that are wrong.
pub fn unreadable(status: Status) -> Fault {
    let message = status.message();
    match status.code() {
        Code::OutOfRange | Code::ResourceExhausted
            if message.contains("too large") || message.contains("size limit") =>
        {
            let mut numbers = message.split(|c: char| !c.is_ascii_digit()).filter(|n| !n.is_empty());
            let (size, limit) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
            let (size, limit) = if limit.is_empty() { (limit, size) } else { (size, limit) };
            Fault::new(
                Reason::MessageTooLarge,
                format!("the message is larger than the {limit} bytes that the server takes"),
            )
            .with("limit", limit)
            .with("size", size)
            .with("unit", "bytes")
        }
        Code::Internal | Code::InvalidArgument => {
            Fault::new(Reason::InvalidFields, "the request is not a message of the RPC's request type")
                .because(Foreign(status))
        }
        _ => fault(status),
    }
}

/// The status of an RPC that is declared and comes with a later release. `rpc` reads as in
/// `rapport.identity.v1.IdentityService/TrainMatcher`.
pub fn not_yet_served(rpc: &str) -> Status {
    status(unserved(rpc))
}

/// The fault of the same.
pub(crate) fn unserved(rpc: &str) -> Fault {
    Fault::new(Reason::NotYetServed, format!("{rpc} is part of the contract; this release does not serve it yet"))
        .with("rpc", rpc)
}

/// Metadata keys are few and fixed, and a fault holds them as static text: each is kept once. A peer that sends ever
/// new ones loses those beyond the bound.
fn static_key(key: &str) -> Option<&'static str> {
    const BOUND: usize = 512;
    static KEYS: RwLock<Vec<&'static str>> = RwLock::new(Vec::new());
    if let Some(known) = KEYS.read().iter().find(|known| **known == key) {
        return Some(known);
    }
    let mut keys = KEYS.write();
    if let Some(known) = keys.iter().find(|known| **known == key) {
        return Some(known);
    }
    if keys.len() >= BOUND || key.len() > 64 {
        return None;
    }
    let kept: &'static str = Box::leak(key.to_owned().into_boxed_str());
    keys.push(kept);
    Some(kept)
}
