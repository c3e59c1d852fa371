//! The hot profile against owners in memory, in process and on a real Redis (`RAPPORT_TEST_REDIS`).

mod feeds;
mod local;
mod owners;
mod proxy;
mod races;
mod shared;
