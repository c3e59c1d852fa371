//! Waiting for conditions, instead of sleeping.

use std::{future::Future, time::Duration};

use tokio::time::{Instant, sleep};

/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within 30 s; `what` says what was waited for.
pub async fn eventually<F, C>(what: &str, mut condition: F)
where
    F: FnMut() -> C,
    C: Future<Output = bool>,
{
    eventually_some(what, || {
        let holds = condition();
        async move { holds.await.then_some(()) }
    })
    .await
}

/// Waits until `attempt` gives something.
///
/// # Panics
/// When it does not within 30 s.
pub async fn eventually_some<T, F, C>(what: &str, mut attempt: F) -> T
where
    F: FnMut() -> C,
    C: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(value) = attempt().await {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
