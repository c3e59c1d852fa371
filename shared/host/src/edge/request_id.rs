//! The id of a call: the caller's own, or one that we make.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use http::{HeaderMap, HeaderName, HeaderValue};
use terms::Ids;

/// The header, in requests and in replies.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Makes ids: 16 hexadecimal digits of the process and 16 of the call, which never repeat within a process.
#[derive(Debug)]
pub(crate) struct RequestIds {
    process: [u8; 16],
    offset: u64,
    count: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new(ids: &Ids) -> Self {
        Self { process: hex(ids.seed()), offset: ids.seed(), count: AtomicU64::new(0) }
    }

    /// The id of a request, and the same for the reply's header.
    pub(crate) fn of(&self, headers: &HeaderMap) -> (Arc<str>, HeaderValue) {
        if let Some(value) = headers.get(REQUEST_ID)
            && let Ok(text) = value.to_str()
            && (1..=128).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_graphic())
        {
            return (text.into(), secret(value.clone()));
        }
        self.next()
    }

    fn next(&self) -> (Arc<str>, HeaderValue) {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let mut text = [0u8; 32];
        let (process, call) = text.split_at_mut(16);
        process.copy_from_slice(&self.process);
        call.copy_from_slice(&hex(scramble(count.wrapping_add(self.offset))));
        // Digits are text and a header's value: neither conversion fails.
        let text = std::str::from_utf8(&text).unwrap_or_default();
        (text.into(), secret(HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))))
    }
}

/// Every id is new: kept out of the table by which HTTP/2 compresses repeated headers.
fn secret(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

/// A one-to-one mapping (SplitMix64's), so that neighbouring ids do not look alike.
fn scramble(n: u64) -> u64 {
    let n = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ (n >> 31)
}

fn hex(number: u64) -> [u8; 16] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|i| DIGITS[((number >> (60 - 4 * i)) & 15) as usize])
}

#[cfg(test)]
mod tests {
    use terms::{FixedClock, Timestamp};

    use super::*;

    #[test]
    fn ids_are_taken_or_made() {
        let ids = Ids::seeded(Arc::new(FixedClock::new(Timestamp::EPOCH)), 1);
        let made = RequestIds::new(&ids);
        let mut headers = HeaderMap::new();
        let (first, header) = made.of(&headers);
        assert_eq!((first.len(), header.to_str().unwrap()), (32, &*first));
        assert_ne!(made.of(&headers).0, first);
        headers.insert(REQUEST_ID, "abc-1".parse().unwrap());
        assert_eq!(&*made.of(&headers).0, "abc-1");
        headers.insert(REQUEST_ID, "a b".parse().unwrap());
        assert_eq!(made.of(&headers).0.len(), 32);
    }
}
