//! Waiting for a condition.

use std::time::{Duration, Instant};

/// Longer than anything takes that works, however busy the machine is.
pub const LONG: Duration = Duration::from_secs(60);

/// Asks `probe` until it gives a value.
///
/// # Panics
/// When it gave none `within` that time.
pub async fn until<T, Asked>(what: &str, within: Duration, mut probe: impl FnMut() -> Asked) -> T
where
    Asked: Future<Output = Option<T>>,
{
    let began = Instant::now();
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(began.elapsed() < within, "{what}: not within {within:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The same without a runtime.
///
/// # Panics
/// When it gave none `within` that time.
pub fn until_blocking<T>(what: &str, within: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(began.elapsed() < within, "{what}: not within {within:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
