//! The one binary: what composes the services, and the commands that talk to them as any client does.
//!
//! | file | what it knows |
//! |---|---|
//! | [`settings`] | from the configuration to stores, cache and hints |
//! | [`mod@compose`] | builds services and binds them to each other |
//! | [`profiles`] | `ProfileService`: the sections of those that live here |
//! | [`serve`], [`dev`], [`migrate`], [`doctor`] | the commands that run servers and look after them |
//! | [`connect`] | how the other commands reach a server |
//! | [`import`], [`show`], [`demo`] | the commands that are clients |
//! | [`match_file`] | the command that needs no server |

pub mod compose;
pub mod connect;
pub mod demo;
pub mod dev;
pub mod doctor;
pub mod import;
pub mod match_file;
pub mod migrate;
pub mod profiles;
pub mod serve;
pub mod settings;
pub mod show;
