//! What went wrong, in two voices: a reason and advice for the caller, the cause for the log.
//!
//! A [`Fault`] becomes a gRPC status once, at the edge (`host::status`). Messages may go to the caller: they hold no
//! personal data and no secret.

use std::{error::Error, fmt, time::Duration};

/// The class of a fault; each is one canonical gRPC code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// `INVALID_ARGUMENT`: the request is wrong whatever the state.
    Invalid,
    /// `NOT_FOUND`: there is none, or not for this tenant.
    NotFound,
    /// `ALREADY_EXISTS`: something of that name or key stands already.
    AlreadyExists,
    /// `FAILED_PRECONDITION`: the state does not allow it; change the state first.
    Precondition,
    /// `ABORTED`: someone else was faster; read again, then retry.
    Stale,
    /// `OUT_OF_RANGE`: the cursor or page lies outside of what is kept.
    OutOfRange,
    /// `UNAUTHENTICATED`: no credential, or a bad one.
    Unauthenticated,
    /// `PERMISSION_DENIED`: the credential does not allow it.
    Denied,
    /// `RESOURCE_EXHAUSTED`: too much at once; retry later.
    Exhausted,
    /// `UNAVAILABLE`: passing; retry.
    Unavailable,
    /// `DEADLINE_EXCEEDED`: the time that the caller gave is over.
    Late,
    /// `CANCELLED`: somebody asked to stop.
    Cancelled,
    /// `UNIMPLEMENTED`: not served yet.
    Unserved,
    /// `INTERNAL`: our mistake.
    Internal,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $kind:ident;)*) => {
        /// The machine-readable reason of a fault, as published in `rapport.type.v1.ErrorReason`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in `google.rpc.ErrorInfo`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The class that it belongs to.
            pub const fn kind(self) -> FaultKind {
                match self { $(Self::$name => FaultKind::$kind,)* }
            }
        }
    };
}

reasons! {
    /// One or more fields are wrong; `BadRequest` lists every one.
    InvalidFields = "INVALID_FIELDS", Invalid;
    /// The page token is none that this list gave out for the same request.
    PageTokenInvalid = "PAGE_TOKEN_INVALID", Invalid;
    /// The revision is none that a write returned.
    RevisionInvalid = "REVISION_INVALID", Invalid;
    /// A rule does not parse or type-check; the violations give line and column.
    RuleInvalid = "RULE_INVALID", Invalid;
    /// The `request_id` was used before with another body.
    RequestIdReused = "REQUEST_ID_REUSED", AlreadyExists;
    /// The name is taken by another resource of the same kind.
    NameTaken = "NAME_TAKEN", AlreadyExists;
    /// The same outcome of a decision was reported before with another value.
    OutcomeConflict = "OUTCOME_CONFLICT", AlreadyExists;
    /// The given id was used before with another content.
    IdReused = "INTERACTION_ID_REUSED", AlreadyExists;
    /// No such customer.
    CustomerNotFound = "CUSTOMER_NOT_FOUND", NotFound;
    /// No such interaction.
    InteractionNotFound = "INTERACTION_NOT_FOUND", NotFound;
    /// No such statement.
    StatementNotFound = "STATEMENT_NOT_FOUND", NotFound;
    /// No such boundary.
    BoundaryNotFound = "BOUNDARY_NOT_FOUND", NotFound;
    /// No such segment.
    SegmentNotFound = "SEGMENT_NOT_FOUND", NotFound;
    /// No such treatment.
    TreatmentNotFound = "TREATMENT_NOT_FOUND", NotFound;
    /// No such touchpoint.
    TouchpointNotFound = "TOUCHPOINT_NOT_FOUND", NotFound;
    /// No such decision.
    DecisionNotFound = "DECISION_NOT_FOUND", NotFound;
    /// The segment would use itself, directly or through others.
    SegmentCycle = "SEGMENT_CYCLE", Precondition;
    /// The customer has no such record.
    RecordNotFound = "RECORD_NOT_FOUND", NotFound;
    /// The identifier is none of the customer's.
    IdentifierNotFound = "IDENTIFIER_NOT_FOUND", NotFound;
    /// A guard forbids that the customers become one; the message names it.
    MergeRefused = "MERGE_REFUSED", Precondition;
    /// The customers are of different sorts, such as a person and an organisation.
    KindMismatch = "KIND_MISMATCH", Precondition;
    /// The split would leave nothing on one of its sides.
    SplitEmpty = "SPLIT_EMPTY", Precondition;
    /// Others use the segment; the metadata names them.
    SegmentInUse = "SEGMENT_IN_USE", Precondition;
    /// Others use the treatment; the metadata names them.
    TreatmentInUse = "TREATMENT_IN_USE", Precondition;
    /// The namespace is not declared, and the policy takes no others; the metadata names it.
    NamespaceUnknown = "NAMESPACE_UNKNOWN", Invalid;
    /// Every identifier of the request was refused and nothing was left to link.
    IdentifiersRefused = "IDENTIFIERS_REFUSED", Precondition;
    /// No such pair in the review queue.
    MatchCandidateNotFound = "MATCH_CANDIDATE_NOT_FOUND", NotFound;
    /// The pair of the review queue was decided already, or its customers changed.
    MatchCandidateDecided = "MATCH_CANDIDATE_DECIDED", Precondition;
    /// No such matcher.
    MatcherNotFound = "MATCHER_NOT_FOUND", NotFound;
    /// The customer was erased.
    CustomerErased = "CUSTOMER_ERASED", NotFound;
    /// The etag is not the current one.
    EtagStale = "ETAG_STALE", Stale;
    /// Two writes met; retry.
    WriteConflict = "CONFLICT", Stale;
    /// The cursor is not one that this feed gave out for this partition.
    FeedCursorInvalid = "FEED_CURSOR_INVALID", Invalid;
    /// No such service, or it does not live here.
    ServiceUnknown = "SERVICE_UNKNOWN", NotFound;
    /// The cursor points before what is kept; begin again from a snapshot.
    FeedCursorExpired = "FEED_CURSOR_EXPIRED", OutOfRange;
    /// The request carries no credential.
    CredentialMissing = "CREDENTIAL_MISSING", Unauthenticated;
    /// The credential is malformed, of another issuer or audience, or its signature is wrong.
    CredentialInvalid = "CREDENTIAL_INVALID", Unauthenticated;
    /// The credential's time is over, or has not begun.
    CredentialExpired = "CREDENTIAL_EXPIRED", Unauthenticated;
    /// The credential lacks a scope; the metadata names it.
    ScopeMissing = "SCOPE_MISSING", Denied;
    /// The request names a tenant that the credential does not.
    TenantMismatch = "TENANT_MISMATCH", Denied;
    /// The tenant calls too often; `RetryInfo` says when to come back.
    RateLimited = "RATE_LIMITED", Exhausted;
    /// The server has too much to do; `RetryInfo` says when to come back.
    Overloaded = "OVERLOADED", Exhausted;
    /// The message is larger than the server takes.
    MessageTooLarge = "MESSAGE_TOO_LARGE", Exhausted;
    /// The store does not answer.
    StoreUnavailable = "STORE_UNAVAILABLE", Unavailable;
    /// Another service does not answer.
    PeerUnavailable = "PEER_UNAVAILABLE", Unavailable;
    /// The state has not caught up with `at_least` within the deadline.
    RevisionNotReached = "REVISION_NOT_REACHED", Unavailable;
    /// The server is going away.
    ShuttingDown = "SHUTTING_DOWN", Unavailable;
    /// The time that the caller gave is over.
    DeadlineExceeded = "DEADLINE_EXCEEDED", Late;
    /// An operation was cancelled.
    Cancelled = "CANCELLED", Cancelled;
    /// No such long-running operation.
    OperationNotFound = "OPERATION_NOT_FOUND", NotFound;
    /// The RPC is declared, and comes with a later release.
    NotYetServed = "NOT_YET_SERVED", Unserved;
    /// A mistake of ours; the log has the cause under the request's id.
    Internal = "INTERNAL", Internal;
}

/// One wrong field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The path, as in `identifiers[2].value`.
    pub field: String,
    /// What is wrong with it, and what would be right. Reads on after the field's name.
    pub description: String,
}

type Cause = Box<dyn Error + Send + Sync>;

/// What went wrong.
pub struct Fault(Box<Inner>);

struct Inner {
    reason: Reason,
    message: String,
    violations: Vec<Violation>,
    metadata: Vec<(&'static str, String)>,
    retry_after: Option<Duration>,
    cause: Option<Cause>,
}

impl Fault {
    /// A fault with a reason and a message: what was wrong, with which value, and what to do.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            reason,
            message: message.into(),
            violations: Vec::new(),
            metadata: Vec::new(),
            retry_after: None,
            cause: None,
        }))
    }

    /// One wrong field. Gather several with [`Violations`].
    pub fn invalid(field: impl Into<String>, reason: Reason, description: impl Into<String>) -> Self {
        let violation = Violation { field: field.into(), description: description.into() };
        let message = format!("`{}` {}", violation.field, violation.description);
        let mut fault = Self::new(reason, message);
        fault.0.violations.push(violation);
        fault
    }

    /// There is none such; `what` reads as in "no customer `cust_…`".
    pub fn not_found(reason: Reason, what: impl fmt::Display) -> Self {
        Self::new(reason, format!("there is no {what} here"))
    }

    /// The etag that came is not the current one.
    pub fn etag_stale(what: impl fmt::Display) -> Self {
        Self::new(Reason::EtagStale, format!("{what} was changed since it was read; read it again, then retry"))
    }

    /// A mistake of ours; the caller learns nothing but that.
    pub fn internal(cause: impl Into<Cause>) -> Self {
        Self::new(Reason::Internal, "an internal error; the log has its cause under this request's id").because(cause)
    }

    /// Adds the cause, for the log.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Cause>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// Adds a value that a program may need.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.0.metadata.push((key, value.into()));
        self
    }

    /// Says when a retry makes sense.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Adds wrong fields.
    #[must_use]
    pub fn violating(mut self, violations: impl IntoIterator<Item = Violation>) -> Self {
        self.0.violations.extend(violations);
        self
    }

    /// Puts the fields of this fault below `prefix`: `value` becomes `identifiers[2].value`.
    #[must_use]
    pub fn within(mut self, prefix: &str) -> Self {
        for violation in &mut self.0.violations {
            violation.field = format!("{prefix}.{}", violation.field);
        }
        self
    }

    /// The class.
    pub fn kind(&self) -> FaultKind {
        self.0.reason.kind()
    }

    /// The reason.
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// For the caller.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Every wrong field.
    pub fn violations(&self) -> &[Violation] {
        &self.0.violations
    }

    /// Values for programs.
    pub fn metadata(&self) -> &[(&'static str, String)] {
        &self.0.metadata
    }

    /// When a retry makes sense.
    pub fn retry_delay(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// For the log.
    pub fn cause(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.0.cause.as_deref()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.reason.as_str(), self.0.message)
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        match &self.0.cause {
            Some(cause) => write!(f, " (because: {cause})"),
            None => Ok(()),
        }
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}

/// Gathers every wrong field of a request, so that the caller hears of all at once.
#[derive(Debug, Default)]
pub struct Violations(Vec<Violation>, Option<Reason>);

impl Violations {
    /// None so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes one.
    pub fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.0.push(Violation { field: field.into(), description: description.into() });
    }

    /// Notes one if `wrong`.
    pub fn add_if(&mut self, wrong: bool, field: &str, description: &str) {
        if wrong {
            self.add(field, description);
        }
    }

    /// Takes the value, or notes the fault's fields and gives `None`.
    pub fn take<T>(&mut self, result: Result<T, Fault>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(fault) => {
                self.absorb(fault);
                None
            }
        }
    }

    /// Notes the fields of `fault`.
    pub fn absorb(&mut self, fault: Fault) {
        if fault.reason() != Reason::InvalidFields {
            self.1.get_or_insert(fault.reason());
        }
        if fault.0.violations.is_empty() {
            self.add("", fault.0.message);
        } else {
            self.0.extend(fault.0.violations);
        }
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Ends the check.
    ///
    /// # Errors
    /// One fault with every field that was noted.
    pub fn done(self) -> Result<(), Fault> {
        let Some(first) = self.0.first() else {
            return Ok(());
        };
        let more = match self.0.len() - 1 {
            0 => String::new(),
            n => format!(" (and {n} more)"),
        };
        let message = format!("`{}` {}{more}", first.field, first.description);
        let mut fault = Fault::new(self.1.unwrap_or(Reason::InvalidFields), message);
        fault.0.violations = self.0;
        Err(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_field_is_told() {
        let mut wrong = Violations::new();
        wrong.add("a", "is empty");
        wrong.absorb(Fault::invalid("value", Reason::InvalidFields, "is too long").within("identifiers[1]"));
        let fault = wrong.done().unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Invalid);
        assert_eq!(fault.violations()[1].field, "identifiers[1].value");
        assert_eq!(fault.message(), "`a` is empty (and 1 more)");
        assert!(Violations::new().done().is_ok());
    }

    #[test]
    fn the_cause_is_for_the_log_alone() {
        let fault = Fault::internal("disk on fire");
        assert!(!fault.message().contains("fire") && !fault.to_string().contains("fire"));
        assert!(format!("{fault:?}").contains("disk on fire"));
    }
}
