//! What is measured and traced of every RPC. Names follow OpenTelemetry's semantic conventions for RPC.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use opentelemetry::{
    KeyValue,
    metrics::Histogram,
    trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState},
};
use tonic::Code;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::meter;
use crate::trace::TraceParent;

/// The target of spans that are sent to a collector.
pub(crate) const SPANS: &str = "rapport::span";

/// Upper bounds of the histograms' buckets; seconds.
const BUCKETS: [f64; 16] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

static ENABLED: AtomicBool = AtomicBool::new(false);
/// Of 2³²: the share of traces begun here that is recorded.
static SHARE: AtomicU64 = AtomicU64::new(0);
static COUNT: AtomicU64 = AtomicU64::new(0);

pub(super) fn enable_spans(enabled: bool, share: f64) {
    SHARE.store((share.clamp(0.0, 1.0) * 4_294_967_296.0) as u64, Ordering::Relaxed);
    ENABLED.store(enabled, Ordering::Relaxed);
}

/// Whether a call is recorded: as whoever began the trace decided, or by our share. The share is taken evenly:
/// multiples of the golden ratio spread over all 2³² without clustering.
fn recorded(parent: Option<&TraceParent>) -> bool {
    if !ENABLED.load(Ordering::Relaxed) {
        return false;
    }
    match parent {
        Some(parent) => parent.sampled,
        None => {
            let turn = COUNT.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9) & 0xFFFF_FFFF;
            turn < SHARE.load(Ordering::Relaxed)
        }
    }
}

/// The span of a call, if it is recorded, and what goes on to the services called in turn.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) span: Span,
    pub(crate) trace: Option<TraceParent>,
}

impl Recorded {
    /// A call that comes in.
    pub(crate) fn server(rpc: &'static str, parent: Option<TraceParent>, request_id: &str) -> Self {
        if !recorded(parent.as_ref()) {
            // Off unless a filter asks for it, as in `info,rapport::call=debug`: then each line names its call.
            let span = tracing::debug_span!(target: "rapport::call", "call", rpc, request_id);
            return Self { span, trace: parent };
        }
        let span = tracing::info_span!(
            target: SPANS,
            "rpc",
            otel.name = rpc,
            otel.kind = "server",
            otel.status_code = tracing::field::Empty,
            rpc.system.name = "grpc",
            rpc.method = rpc,
            rpc.response.status_code = tracing::field::Empty,
            request_id,
            trace_id = tracing::field::Empty,
        );
        Self::of(span, parent)
    }

    /// A call that goes out.
    pub(crate) fn client(rpc: &'static str, parent: Option<TraceParent>) -> Self {
        if !ENABLED.load(Ordering::Relaxed) || !parent.is_some_and(|parent| parent.sampled) {
            return Self { span: Span::none(), trace: parent };
        }
        let span = tracing::info_span!(
            target: SPANS,
            "rpc",
            otel.name = rpc,
            otel.kind = "client",
            otel.status_code = tracing::field::Empty,
            rpc.system.name = "grpc",
            rpc.method = rpc,
            rpc.response.status_code = tracing::field::Empty,
        );
        Self::of(span, parent)
    }

    fn of(span: Span, parent: Option<TraceParent>) -> Self {
        if let Some(parent) = parent {
            let context = opentelemetry::Context::new().with_remote_span_context(context(&parent));
            // Fails only when the span has been entered before.
            let _ = span.set_parent(context);
        }
        let own = span.context();
        let own = own.span().span_context().clone();
        let trace = own.is_valid().then(|| TraceParent {
            trace_id: u128::from_be_bytes(own.trace_id().to_bytes()),
            span_id: u64::from_be_bytes(own.span_id().to_bytes()),
            sampled: own.is_sampled(),
        });
        if let Some(trace) = &trace {
            span.record("trace_id", trace.trace_id_text());
        }
        Self { span, trace: trace.or(parent) }
    }

    /// Notes how the call ended.
    pub(crate) fn end(&self, code: Code) {
        if self.span.is_none() {
            return;
        }
        self.span.record("rpc.response.status_code", code_name(code));
        let ours = matches!(
            code,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        );
        if ours {
            self.span.record("otel.status_code", "ERROR");
        }
    }
}

fn context(parent: &TraceParent) -> SpanContext {
    let flags = if parent.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
    SpanContext::new(
        TraceId::from_bytes(parent.trace_id.to_be_bytes()),
        SpanId::from_bytes(parent.span_id.to_be_bytes()),
        flags,
        true,
        TraceState::default(),
    )
}

/// The histogram of one RPC, its attributes ready for each code: nothing is put together while serving.
#[derive(Debug, Clone)]
pub(crate) struct Instruments {
    durations: Histogram<f64>,
    attributes: Arc<[[KeyValue; 3]; 17]>,
}

impl Instruments {
    pub(crate) fn server(rpc: &'static str) -> Self {
        Self::of("rpc.server.call.duration", "How long the server took for a call.", rpc)
    }

    pub(crate) fn client(rpc: &'static str) -> Self {
        Self::of("rpc.client.call.duration", "How long a call to another service took.", rpc)
    }

    fn of(name: &'static str, description: &'static str, rpc: &'static str) -> Self {
        let durations = meter()
            .f64_histogram(name)
            .with_unit("s")
            .with_description(description)
            .with_boundaries(BUCKETS.to_vec())
            .build();
        let attributes = std::array::from_fn(|code| {
            [
                KeyValue::new("rpc.system.name", "grpc"),
                KeyValue::new("rpc.method", rpc),
                KeyValue::new("rpc.response.status_code", code_name(Code::from(code as i32))),
            ]
        });
        Self { durations, attributes: Arc::new(attributes) }
    }

    /// Counts a call.
    pub(crate) fn record(&self, code: Code, took: Duration) {
        if let Some(attributes) = self.attributes.get(code as usize) {
            self.durations.record(took.as_secs_f64(), attributes);
        }
    }
}

/// The canonical name of a code.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
