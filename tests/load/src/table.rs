//! The table that is printed, and whether what it shows is enough.

use anyhow::{Result, ensure};

use crate::drive::Turn;

/// What a path is to reach beside its floor.
#[derive(Debug, Clone, Copy)]
pub struct Bar {
    /// The least ratio of the floor's CPU time per call to the path's.
    pub ratio: f64,
    /// The ratio that is hoped for.
    pub stretch: f64,
}

/// The most that the p99 of a path may be, in p99s of the floor.
const SLOWEST: f64 = 3.0;

/// Prints floor and path, and how they compare.
///
/// # Errors
/// When a bar is missed.
pub fn compare(path: &str, floor: (&str, Turn), measured: Turn, bar: Option<Bar>) -> Result<()> {
    println!("\n{path}");
    println!("  {:28} {:>10} {:>10} {:>10} {:>12}", "", "calls/s", "p50 µs", "p99 µs", "CPU µs/call");
    row(floor.0, floor.1);
    row(path, measured);
    let floor = floor.1;
    let (rate, cpu, p99) = (measured.rate / floor.rate, floor.cpu / measured.cpu, measured.p99 / floor.p99);
    println!("  ratio to the floor: rate {rate:.2}, CPU {cpu:.2}, p99 {p99:.1}×");
    let Some(Bar { ratio, stretch }) = bar else { return Ok(()) };
    println!("  (bar: CPU ≥ {ratio} → {stretch}, p99 ≤ {SLOWEST}×)");
    ensure!(cpu >= ratio, "{path}: the bar of {ratio} was missed: {cpu:.2}");
    ensure!(p99 <= SLOWEST, "{path}: the bar of {SLOWEST}× for p99 was missed: {p99:.1}×");
    Ok(())
}

/// Prints a path that has no floor.
pub fn alone(path: &str, measured: Turn, what: &str) {
    println!("\n{path}");
    println!("  {:28} {:>10} {:>10} {:>10} {:>12}", "", "calls/s", "p50 µs", "p99 µs", "CPU µs/call");
    row(path, measured);
    println!("  ({what})");
}

fn row(name: &str, turn: Turn) {
    println!("  {name:28} {:>10.0} {:>10.0} {:>10.0} {:>12.1}", turn.rate, turn.p50, turn.p99, turn.cpu);
}
