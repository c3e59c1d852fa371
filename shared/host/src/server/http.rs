//! The small HTTP endpoint for machines that watch: `/metrics`, `/healthz`, `/readyz`.

use std::{fmt::Write as _, future::Future, sync::Arc};

use axum::{
    Router,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use tokio::net::TcpListener;

use super::health::{Health, Phase};
use crate::telemetry::prometheus_text;

/// Serves until `end`.
pub(super) async fn serve(listener: TcpListener, health: Arc<Health>, end: impl Future<Output = ()> + Send + 'static) {
    let ready = move || {
        let health = health.clone();
        async move { readiness(&health) }
    };
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready));
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(end).await {
        tracing::warn!(%error, "the endpoint for metrics ended");
    }
}

async fn metrics() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], prometheus_text())
}

/// Ready or not, and every check in a line of its own.
fn readiness(health: &Health) -> (StatusCode, String) {
    let (status, word) = match health.phase() {
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
        Phase::Serving => (StatusCode::OK, "serving"),
        Phase::Leaving => (StatusCode::SERVICE_UNAVAILABLE, "leaving"),
    };
    let mut text = format!("{word}\n");
    for (name, wrong) in health.report() {
        // Writing to a string does not fail.
        let _ = match wrong {
            None => writeln!(text, "{name}: ok"),
            Some(wrong) => writeln!(text, "{name}: {wrong}"),
        };
    }
    (status, text)
}
