//! Processes killed in the middle of their work: nothing is lost, nothing happens twice.
//!
//! | file | who is killed |
//! |---|---|
//! | [`consumers`] | one of two replicas that share the partitions of a feed, fifty times |
//! | [`writers`] | the process that acknowledges writes |
//! | [`callers`] | calls, by impatient callers: a dropped request must not poison a connection pool |

mod callers;
mod consumers;
mod writers;
