//! Idempotent writes (AIP-155): what a store records of a request, and what it gives back.

use crate::{Revision, Tenant};

/// A write's idempotency key: the caller's `request_id` within a tenant and a method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// Whose.
    pub tenant: Tenant,
    /// The RPC, as in `rapport.identity.v1.IdentityService/Identify`.
    pub method: &'static str,
    /// The caller's key.
    pub request_id: String,
    /// SHA-256 of the request's body: the same key with another body is refused.
    pub fingerprint: [u8; 32],
}

/// A committed write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written<T> {
    /// What the write answers.
    pub value: T,
    /// A state that contains the write.
    pub revision: Revision,
    /// Whether this is the recorded answer of an earlier call with the same key.
    pub replayed: bool,
}

impl<T> Written<T> {
    /// The same write with another answer.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Written<U> {
        Written { value: f(self.value), revision: self.revision, replayed: self.replayed }
    }
}
