//! `ListIdentityHistory`: what happened to a customer, in pages.

use terms::{Fault, Reason};
use uuid::Uuid;

use crate::history::HistoryId;

/// Which entries of a customer's history. Ids of entries rise with their record time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Whether from the newest to the oldest.
    pub descending: bool,
    /// Only those behind this one.
    pub after: Option<HistoryId>,
    /// At most this many.
    pub limit: u32,
}

impl HistoryQuery {
    /// Everything, oldest first.
    pub const ALL: Self = Self { descending: false, after: None, limit: u32::MAX };
}

/// Reads `order_by` (AIP-132): whether newest first.
///
/// # Errors
/// [`Reason::InvalidFields`] for anything but `record_time` and `record_time desc`.
pub fn order(text: &str) -> Result<bool, Fault> {
    let mut words = text.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (None, ..) | (Some("record_time"), Some("desc"), None) => Ok(true),
        (Some("record_time"), None | Some("asc"), None) => Ok(false),
        _ => Err(Fault::invalid(
            "order_by",
            Reason::InvalidFields,
            "gives no known order; give `record_time desc` or `record_time`",
        )),
    }
}

/// Reads the place of a page token; no bytes are the start.
///
/// # Errors
/// [`Reason::InvalidFields`] for other bytes.
pub fn place(bytes: &[u8]) -> Result<Option<HistoryId>, Fault> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let id: [u8; 16] = bytes.try_into().map_err(|_| {
        Fault::invalid("page_token", Reason::InvalidFields, "is damaged; leave it empty to start again")
    })?;
    Ok(Some(HistoryId::from_uuid(Uuid::from_bytes(id))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders() {
        for newest in ["", " record_time  desc "] {
            assert!(order(newest).unwrap(), "{newest}");
        }
        for oldest in ["record_time", "record_time asc"] {
            assert!(!order(oldest).unwrap(), "{oldest}");
        }
        for wrong in ["kind", "record_time down", "record_time desc, kind", "record_time desc desc"] {
            assert!(order(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn places_and_back() {
        let id = HistoryId::from_uuid(Uuid::from_u128(7));
        assert_eq!(place(id.as_bytes()).unwrap(), Some(id));
        assert_eq!(place(&[]).unwrap(), None);
        assert!(place(&[0; 15]).is_err());
    }
}
