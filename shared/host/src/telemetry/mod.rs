//! What the process says of itself: logs, metrics, traces.
//!
//! Other crates measure by the global meter of `opentelemetry`, and log by `tracing`; they need nothing of this crate.

mod rpc;

use std::{sync::OnceLock, time::Duration};

use opentelemetry::{KeyValue, global, metrics::Meter, trace::TracerProvider as _};
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    metrics::{PeriodicReader, SdkMeterProvider},
    trace::{Sampler, SdkTracerProvider},
};
use prometheus::{Registry, TextEncoder};
use terms::Fault;
use tracing_subscriber::{
    EnvFilter, Layer as _, Registry as Subscriber, filter::Targets, fmt, layer::SubscriberExt as _,
};

use crate::config::{LogFormat, Telemetry as Settings};
pub(crate) use rpc::{Instruments, Recorded, SPANS};

/// The process's telemetry. Installed once; keep it until the end, then [`shut_down`](Self::shut_down).
#[derive(Debug)]
pub struct Telemetry {
    metrics: SdkMeterProvider,
    traces: Option<SdkTracerProvider>,
}

static REGISTRY: OnceLock<Registry> = OnceLock::new();

/// The meter for gauges and counters of ours.
pub fn meter() -> Meter {
    global::meter("rapport")
}

/// What `/metrics` answers: everything measured so far, as Prometheus text; empty before [`Telemetry::install`].
pub fn prometheus_text() -> String {
    let Some(registry) = REGISTRY.get() else { return String::new() };
    TextEncoder::new().encode_to_string(&registry.gather()).unwrap_or_default()
}

impl Telemetry {
    /// Sets up logs, metrics and, with a collector, traces for the whole process. Needs a runtime.
    ///
    /// # Errors
    /// When something is installed already, or the collector's address cannot be used.
    pub fn install(settings: &Settings) -> Result<Self, Fault> {
        let resource = Resource::builder()
            .with_service_name(settings.service_name.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let metrics = metrics(settings, resource.clone())?;
        global::set_meter_provider(metrics.clone());
        let traces = traces(settings, resource)?;
        log_to_stderr(settings, traces.as_ref())?;
        rpc::enable_spans(traces.is_some(), settings.sample);
        log_panics();
        Ok(Self { metrics, traces })
    }

    /// Sends what is left to the collector; takes a few seconds at most.
    pub async fn shut_down(self) {
        // The exporters block their callers, and need the runtime to go on meanwhile.
        let work = move || {
            if let Some(traces) = self.traces {
                let _ = traces.shutdown_with_timeout(Duration::from_secs(3));
            }
            let _ = self.metrics.shutdown_with_timeout(Duration::from_secs(3));
        };
        let _ = tokio::task::spawn_blocking(work).await;
    }
}

/// One pipeline for both: what is measured goes to the Prometheus registry and, with a collector, to OTLP.
fn metrics(settings: &Settings, resource: Resource) -> Result<SdkMeterProvider, Fault> {
    let registry = Registry::new();
    let exporter = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .scope_info_enabled(false)
        .build()
        .map_err(Fault::internal)?;
    REGISTRY.set(registry).map_err(|_| Fault::internal("telemetry is installed already"))?;
    let mut provider = SdkMeterProvider::builder().with_resource(resource).with_reader(exporter);
    if !settings.otlp.is_empty() {
        let exporter = MetricExporter::builder()
            .with_tonic()
            .with_endpoint(&settings.otlp)
            .with_timeout(Duration::from_secs(5))
            .build()
            .map_err(Fault::internal)?;
        let interval = settings.metrics_interval.get().max(Duration::from_secs(1));
        provider = provider.with_reader(PeriodicReader::builder(exporter).with_interval(interval).build());
    }
    Ok(provider.build())
}

/// Which spans exist is decided per request before one is made (see [`rpc`]): those that are made are all sent.
fn traces(settings: &Settings, resource: Resource) -> Result<Option<SdkTracerProvider>, Fault> {
    if settings.otlp.is_empty() {
        return Ok(None);
    }
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(&settings.otlp)
        .with_timeout(Duration::from_secs(5))
        .build()
        .map_err(Fault::internal)?;
    let provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(Sampler::AlwaysOn)
        .with_batch_exporter(exporter)
        .build();
    global::set_tracer_provider(provider.clone());
    Ok(Some(provider))
}

fn log_to_stderr(settings: &Settings, traces: Option<&SdkTracerProvider>) -> Result<(), Fault> {
    let filter = EnvFilter::builder().parse(&settings.log_filter).map_err(Fault::internal)?;
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match settings.log_format {
        LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_ansi(false).boxed(),
    };
    // Without a collector there is no layer for traces, and a span costs nothing.
    let spans = traces.map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("rapport"))
            .with_location(false)
            .with_threads(false)
            .with_filter(Targets::new().with_target(SPANS, tracing::Level::INFO))
    });
    let subscriber = Subscriber::default().with(lines.with_filter(filter)).with(spans);
    tracing::subscriber::set_global_default(subscriber).map_err(Fault::internal)
}

/// A panic is logged where it happens. Its message is kept back when it was put together at run time: it may quote
/// what a customer said.
fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let message = info.payload().downcast_ref::<&'static str>().copied().unwrap_or("(message kept back)");
        tracing::error!(place, "panic: {message}");
    }));
}
