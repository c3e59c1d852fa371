//! Closed-loop callers, rates and percentiles.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::server::Server;

/// What a turn measured.
#[derive(Debug, Clone, Copy, Default)]
pub struct Turn {
    /// Calls a second.
    pub rate: f64,
    /// Half of the calls took no longer, in microseconds.
    pub p50: f64,
    /// 99 of 100 took no longer, in microseconds.
    pub p99: f64,
    /// CPU time of the server per call, in microseconds.
    pub cpu: f64,
}

/// Keeps `in_flight` callers calling for `seconds`; `call(caller, n)` is the n-th call of a caller. A call that fails
/// ends the run: only right answers are timed.
///
/// # Errors
/// The first call that failed.
pub async fn closed_loop<F, Done>(server: &Server, seconds: u64, in_flight: usize, call: F) -> Result<Turn>
where
    F: Fn(usize, usize) -> Done + Send + Sync + Clone + 'static,
    Done: Future<Output = Result<()>> + Send,
{
    let over = Arc::new(AtomicBool::new(false));
    let cpu = server.cpu()?;
    let started = Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..in_flight {
        let (call, over) = (call.clone(), over.clone());
        callers.spawn(async move {
            let mut times = Vec::with_capacity(100_000);
            while !over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                call(caller, times.len()).await?;
                times.push(begun.elapsed());
            }
            Ok::<_, anyhow::Error>(times)
        });
    }
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    over.store(true, Ordering::Relaxed);
    let mut times = Vec::new();
    while let Some(done) = callers.join_next().await {
        times.extend(done?.context("a call failed")?);
    }
    let elapsed = started.elapsed();
    Ok(turn(times, elapsed, server.cpu()?.saturating_sub(cpu)))
}

/// Begins `rate` calls a second for `seconds`, however long each takes; `call(n)` is the n-th. A call's time counts from
/// when it was due: what waits for a slow one before it waits in earnest.
///
/// # Errors
/// The first call that failed.
pub async fn paced<F, Done>(server: &Server, seconds: u64, rate: u64, call: F) -> Result<Turn>
where
    F: Fn(usize) -> Done,
    Done: Future<Output = Result<()>> + Send + 'static,
{
    let cpu = server.cpu()?;
    let started = Instant::now();
    let total = (seconds * rate) as usize;
    let mut calls = tokio::task::JoinSet::new();
    let mut times = Vec::with_capacity(total);
    for n in 0..total {
        let due = started + Duration::from_secs_f64(n as f64 / rate as f64);
        tokio::time::sleep_until(due.into()).await;
        let work = call(n);
        calls.spawn(async move {
            work.await?;
            Ok::<_, anyhow::Error>(due.elapsed())
        });
        while let Some(done) = calls.try_join_next() {
            times.push(done?.context("a call failed")?);
        }
    }
    while let Some(done) = calls.join_next().await {
        times.push(done?.context("a call failed")?);
    }
    let elapsed = started.elapsed();
    Ok(turn(times, elapsed, server.cpu()?.saturating_sub(cpu)))
}

/// Sums up the times of calls that took `elapsed` and `cpu` in all.
pub fn turn(mut times: Vec<Duration>, elapsed: Duration, cpu: Duration) -> Turn {
    if times.is_empty() {
        return Turn::default();
    }
    times.sort_unstable();
    let calls = times.len() as f64;
    let at = |share: f64| times[((calls * share) as usize).min(times.len() - 1)].as_secs_f64() * 1e6;
    Turn { rate: calls / elapsed.as_secs_f64(), p50: at(0.50), p99: at(0.99), cpu: cpu.as_secs_f64() * 1e6 / calls }
}

/// The median of each figure.
pub fn median(turns: &[Turn]) -> Turn {
    let middle = |figure: fn(&Turn) -> f64| {
        let mut figures: Vec<f64> = turns.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied().unwrap_or_default()
    };
    Turn { rate: middle(|t| t.rate), p50: middle(|t| t.p50), p99: middle(|t| t.p99), cpu: middle(|t| t.cpu) }
}
