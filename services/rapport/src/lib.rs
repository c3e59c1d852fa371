//! The one binary: what composes the services, and what talks to them as any client does.

pub mod demo;
pub mod import;
