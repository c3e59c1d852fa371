//! AIP-158 pagination.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::fault::{Fault, Reason};

/// Which page of a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// How many items at most; already between 1 and the maximum.
    pub size: u32,
    /// Where to go on: the key of the last item that was sent. Empty at the start.
    pub after: Vec<u8>,
}

impl PageRequest {
    /// When the request says 0.
    pub const DEFAULT_SIZE: u32 = 50;
    /// More is cut to this.
    pub const MAX_SIZE: u32 = 1_000;

    /// Reads `page_size` and `page_token`. `scope` binds the token to the list and its filters: a token of another
    /// list is refused.
    ///
    /// # Errors
    /// [`Reason::InvalidFields`] for a negative size, [`Reason::PageTokenInvalid`] for a token that this list did not give
    /// out.
    pub fn parse(page_size: i32, page_token: &str, scope: &str) -> Result<Self, Fault> {
        let size = match u32::try_from(page_size) {
            Err(_) => {
                return Err(Fault::invalid(
                    "page_size",
                    Reason::InvalidFields,
                    format!("is {page_size}; give 0 for the default or a positive number"),
                ));
            }
            Ok(0) => Self::DEFAULT_SIZE,
            Ok(n) => n.min(Self::MAX_SIZE),
        };
        if page_token.is_empty() {
            return Ok(Self { size, after: Vec::new() });
        }
        let foreign = || {
            Fault::invalid(
                "page_token",
                Reason::PageTokenInvalid,
                "is not a token that this list gave out for the same request; leave it empty to start again",
            )
        };
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(page_token).map_err(|_| foreign())?;
        let (check, after) = bytes.split_at_checked(4).ok_or_else(foreign)?;
        if check != fingerprint(scope) || after.is_empty() {
            return Err(foreign());
        }
        Ok(Self { size, after: after.to_vec() })
    }

    /// The token that goes on after the item with the key `last`.
    pub fn token(scope: &str, last: &[u8]) -> String {
        let mut bytes = fingerprint(scope).to_vec();
        bytes.extend_from_slice(last);
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }
}

fn fingerprint(scope: &str) -> [u8; 4] {
    let mut hash: u32 = 0x811c_9dc5;
    for byte in scope.bytes() {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    hash.to_be_bytes()
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// The key of the last item when there are more; `None` at the end.
    pub next: Option<Vec<u8>>,
}

impl<T> Page<T> {
    /// Cuts `items`, read with a limit of `size + 1`, to a page; `key` names an item.
    pub fn cut(mut items: Vec<T>, size: u32, key: impl Fn(&T) -> Vec<u8>) -> Self {
        let more = items.len() > size as usize;
        items.truncate(size as usize);
        let next = if more { items.last().map(key) } else { None };
        Self { items, next }
    }

    /// The `next_page_token` of a reply; empty at the end.
    pub fn next_token(&self, scope: &str) -> String {
        self.next.as_deref().map_or_else(String::new, |key| PageRequest::token(scope, key))
    }

    /// The same page of something else.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(f).collect(), next: self.next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(PageRequest::parse(0, "", "s").unwrap().size, 50);
        assert_eq!(PageRequest::parse(1_000_000, "", "s").unwrap().size, 1_000);
        assert!(PageRequest::parse(-1, "", "s").is_err());
    }

    #[test]
    fn tokens_belong_to_their_list() {
        let token = PageRequest::token("list a", b"key");
        assert_eq!(PageRequest::parse(5, &token, "list a").unwrap().after, b"key");
        assert!(PageRequest::parse(5, &token, "list b").is_err());
        assert!(PageRequest::parse(5, "%%%", "list a").is_err());
        assert!(PageRequest::parse(5, "AAAA", "list a").is_err());
    }

    #[test]
    fn a_page_knows_whether_more_follows() {
        let page = Page::cut(vec![1u8, 2, 3], 2, |n| vec![*n]);
        assert_eq!((page.items.as_slice(), page.next), ([1, 2].as_slice(), Some(vec![2])));
        assert_eq!(Page::cut(vec![1u8, 2], 2, |n| vec![*n]).next, None);
    }
}
