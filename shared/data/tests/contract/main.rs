//! The exam that every database sits: SQLite always, PostgreSQL when a server is named.

mod checkpoint;
mod consumers;
mod dead;
mod each;
mod feed;
mod gaps;
mod grpc;
mod migrate;
mod once;
mod operations;
mod operations_grpc;
mod progress;
mod purge;
mod replicas;
mod retention;
mod support;
mod tail;
mod throughput;
mod writes;
