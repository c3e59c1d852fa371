//! Runs the suite of four services as a user would, and looks at it from outside.
//!
//! | file | subject |
//! |---|---|
//! | [`process`] | a `rapport` process: started, watched, signalled, ended with the test |
//! | [`suite`] | the four services in a [`Shape`](suite::Shape): one process on SQLite, or four on PostgreSQL and Redis |
//! | [`credentials`] | keys and bearer tokens |
//! | [`app`] | an application of one tenant that calls the suite |
//! | [`furniture`] | one of each resource, to call RPCs about |
//! | [`contract`] | every RPC, and what the contract's comments demand, read from the descriptors |
//! | [`raw`] | calls by descriptor: any RPC, any bytes, any credential |
//! | [`samples`] | a sample request of every RPC that is served |
//! | [`malformed`] | everything that can be wrong with a request |
//! | [`stored`] | what the stores hold of a tenant |
//! | [`web`] | HTTP/1.1: gRPC-Web and the metrics page |
//! | [`redis`] | a Redis server of one's own, to be stopped and killed |
//! | [`until`] | waiting for a condition |

#![forbid(unsafe_code)]

pub mod app;
pub mod contract;
pub mod credentials;
pub mod furniture;
pub mod malformed;
pub mod process;
pub mod raw;
pub mod redis;
pub mod samples;
pub mod stored;
pub mod suite;
pub mod until;
pub mod web;
