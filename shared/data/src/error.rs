//! From a database's error to a [`Fault`].

use std::{error::Error, fmt, time::Duration};

use sea_orm::{DbErr, RuntimeErr, SqlxSqliteError, sqlx};
use terms::{Fault, Reason};

/// What a database's error means for whoever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Two transactions met; the same work may succeed when it runs again.
    Conflict,
    /// The database does not answer, or took too long.
    Unavailable,
    /// The store was closed.
    Closed,
    /// Our mistake.
    Other,
}

/// Turns a database's error into a fault: [`Reason::WriteConflict`] (which [`Store::write`](crate::Store::write)
/// retries), [`Reason::StoreUnavailable`], [`Reason::ShuttingDown`] or [`Reason::Internal`].
pub fn fault(err: DbErr) -> Fault {
    match classify(&err) {
        Class::Conflict => retry(err),
        Class::Unavailable => {
            Fault::new(Reason::StoreUnavailable, "the store does not answer; retry").retry_after(PAUSE).because(err)
        }
        Class::Closed => Fault::new(Reason::ShuttingDown, "the server is going away; retry elsewhere").because(err),
        Class::Other => Fault::internal(err),
    }
}

/// The transaction met another; [`Store::write`](crate::Store::write) runs its work again.
pub fn retry(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Fault {
    Fault::new(Reason::WriteConflict, "another write was faster; retry")
        .retry_after(PAUSE)
        .because(Conflict(cause.into()))
}

const PAUSE: Duration = Duration::from_millis(100);

/// The cause that marks a fault as worth running the work again.
#[derive(Debug)]
struct Conflict(Box<dyn Error + Send + Sync>);

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Error for Conflict {}

/// Whether the work may succeed when it runs again.
pub(crate) fn is_conflict(fault: &Fault) -> bool {
    fault.cause().is_some_and(|cause| cause.is::<Conflict>())
}

/// Whether a unique key stood in the way.
pub fn is_unique_violation(err: &DbErr) -> bool {
    matches!(err.sql_err(), Some(sea_orm::SqlErr::UniqueConstraintViolation(_)))
}

/// `?` on a database's result.
pub trait OrFault<T> {
    /// The value, or the fault that [`fault`] makes of the error.
    ///
    /// # Errors
    /// See [`fault`].
    fn or_fault(self) -> Result<T, Fault>;
}

impl<T> OrFault<T> for Result<T, DbErr> {
    fn or_fault(self) -> Result<T, Fault> {
        self.map_err(fault)
    }
}

fn classify(err: &DbErr) -> Class {
    match err {
        DbErr::ConnectionAcquire(sea_orm::ConnAcquireErr::ConnectionClosed) => Class::Closed,
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => Class::Unavailable,
        DbErr::Exec(RuntimeErr::SqlxError(e)) | DbErr::Query(RuntimeErr::SqlxError(e)) => classify_sqlx(e),
        _ => Class::Other,
    }
}

fn classify_sqlx(err: &sqlx::Error) -> Class {
    match err {
        sqlx::Error::Database(e) if e.try_downcast_ref::<SqlxSqliteError>().is_some() => {
            let code = e.code().and_then(|code| code.parse::<u32>().ok()).unwrap_or_default();
            // The low byte is the primary code: BUSY, LOCKED; IOERR, FULL, CANTOPEN.
            match code & 0xff {
                5 | 6 => Class::Conflict,
                10 | 13 | 14 => Class::Unavailable,
                _ => Class::Other,
            }
        }
        sqlx::Error::Database(e) => match e.code().as_deref() {
            // serialization_failure, deadlock_detected, lock_not_available.
            Some("40001" | "40P01" | "55P03") => Class::Conflict,
            // query_canceled (statement timeout), idle_in_transaction_session_timeout, read_only_sql_transaction
            // (a primary that was demoted).
            Some("57014" | "25P03" | "25006") => Class::Unavailable,
            // Connection exception, insufficient resources, operator intervention.
            Some(code) if ["08", "53", "57"].iter().any(|class| code.starts_with(class)) => Class::Unavailable,
            _ => Class::Other,
        },
        sqlx::Error::PoolClosed => Class::Closed,
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => Class::Unavailable,
        _ => Class::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflicts_are_told_from_the_callers_own_conflicts() {
        assert!(is_conflict(&retry("met")));
        assert!(!is_conflict(&Fault::new(Reason::WriteConflict, "as the domain sees it")));
        assert_eq!(retry("met").reason(), Reason::WriteConflict);
    }

    #[test]
    fn a_pool_without_connections_is_unavailable() {
        let err = DbErr::ConnectionAcquire(sea_orm::ConnAcquireErr::Timeout);
        assert_eq!(fault(err).reason(), Reason::StoreUnavailable);
    }
}
