//! The table that is printed.

use crate::drive::Turn;

/// Prints floor and path, and how they compare. `bar` says what is to be reached.
pub fn compare(path: &str, floor: (&str, Turn), measured: Turn, bar: &str) {
    println!("\n{path}");
    println!("  {:28} {:>10} {:>10} {:>10} {:>12}", "", "calls/s", "p50 µs", "p99 µs", "CPU µs/call");
    row(floor.0, floor.1);
    row(path, measured);
    let floor = floor.1;
    println!(
        "  ratio to the floor: rate {:.2}, CPU {:.2}, p99 {:.1}×   (bar: {bar})",
        measured.rate / floor.rate,
        floor.cpu / measured.cpu,
        measured.p99 / floor.p99
    );
}

/// Prints a path that has no floor.
pub fn alone(path: &str, measured: Turn, bar: &str) {
    println!("\n{path}");
    println!("  {:28} {:>10} {:>10} {:>10} {:>12}", "", "calls/s", "p50 µs", "p99 µs", "CPU µs/call");
    row(path, measured);
    println!("  (bar: {bar})");
}

fn row(name: &str, turn: Turn) {
    println!("  {name:28} {:>10.0} {:>10.0} {:>10.0} {:>12.1}", turn.rate, turn.p50, turn.p99, turn.cpu);
}
