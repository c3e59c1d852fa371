//! The suite of four services from outside, in both of its shapes: one process on SQLite, and four on PostgreSQL and
//! Redis. `tests/run it` starts the servers that the second needs.
//!
//! | file | subject |
//! |---|---|
//! | [`the_loop`] | identify, differentiate, interact, customize: once around |
//! | [`merges`] | concurrent merges lose nothing (hard cases 1 and 6) |
//! | [`splits`] | merge, then split, is as if nothing had happened (hard cases 5 and 6) |
//! | [`parting`] | who was joined for a resemblance that is gone: as if nothing had happened, too |
//! | [`histories`] | random histories of merges and splits, in one process |
//! | [`town`], [`portrait`] | some customers, what they live through, and everything that is read of them then |
//! | [`streams`] | streams that are cut and resumed by cursor |
//! | [`windows`] | windows that expire by the clock alone; late and duplicate events (cases 7 and 8) |
//! | [`read_your_writes`] | `at_least` across services, ten thousand times; a feed that is held up |
//! | [`credentials`] | every RPC without a credential, with a bad one, without its scope |
//! | [`tenants`] | every RPC with what belongs to another tenant |
//! | [`bad_input`] | every RPC with everything that can be wrong with its request |
//! | [`once`] | every write twice under one `request_id`, and checked only |
//! | [`not_yet_served`] | the one list of what is declared and not served |
//! | [`operations`] | long-running operations at every server |
//! | [`surface`] | reflection, health, gRPC-Web, metrics |
//! | [`without_redis`] | Redis frozen and killed in the middle of a run |

/// The tests of a module, each in both shapes.
macro_rules! in_both_shapes {
    ($($name:ident),+ $(,)?) => {
        mod one {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(it::suite::Shape::One).await; })+
        }
        mod four {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(it::suite::Shape::Four).await; })+
        }
    };
}

mod bad_input;
mod credentials;
mod histories;
mod merges;
mod not_yet_served;
mod once;
mod operations;
mod parting;
mod portrait;
mod read_your_writes;
mod splits;
mod streams;
mod surface;
mod tenants;
mod the_loop;
mod town;
mod windows;
mod without_redis;
