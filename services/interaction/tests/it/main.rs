//! The service as a whole, between an identity that the tests play and callers of the same process.

mod bulk;
mod moves;
mod rpcs;
mod section;
mod watch;
mod world;
