//! Processes killed in the middle of their work: nothing is lost, nothing happens twice.
//!
//! | file | who is killed |
//! |---|---|
//! | [`consumers`] | one of two replicas that share the partitions of a feed, fifty times |
//! | [`peers`] | each of the four services in turn, while the others are called |
//! | [`writers`] | the process that acknowledges writes |
//! | [`callers`] | calls, by impatient callers: a dropped request must not poison a connection pool |

mod callers;
mod consumers;
mod peers;
mod writers;
