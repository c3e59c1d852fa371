//! Identity from outside: its RPCs, on SQLite and PostgreSQL.
//!
//! | file | subject |
//! |---|---|
//! | [`world`] | replicas of identity, and their callers |
//! | [`grpc`] | identify, read, merge, split, history |
//! | [`guards`] | the policy, and what it refuses (hard cases 2 to 4) |
//! | [`review`] | the review queue and explanations |
//! | [`stewards`] | relations, and the search |
//! | [`training`] | `TrainMatcher`, and records that are filed anew |
//! | [`bulk`] | `MatchRecords` |

mod bulk;
mod grpc;
mod guards;
mod review;
mod stewards;
mod training;
mod world;
