//! How a profile lies in its hash.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use terms::Position;

use crate::section::{Held, Key, Section, Stamp};

/// In the order in which [`View::decode`] takes them.
pub(super) const FIELDS: [&str; 8] = ["t", "e", "d0", "m0", "d1", "m1", "d2", "m2"];

/// The first byte of a section: the version of this layout. Sections of another version are read from their owner.
const VERSION: u8 = 1;

/// The key; what stands in braces decides the slot in a cluster.
pub(super) fn name(prefix: &str, key: &Key) -> String {
    format!("{prefix}:{{{}:{}}}", key.tenant, key.customer)
}

/// A position in digits that sort as it does.
pub(super) fn digits(position: Position) -> String {
    format!("{:019}{:019}", position.xid.max(0), position.seq.max(0))
}

fn parse_digits(text: &[u8]) -> Option<Position> {
    let (xid, seq) = std::str::from_utf8(text).ok()?.split_at_checked(19)?;
    Some(Position { xid: xid.parse().ok()?, seq: seq.parse().ok()? })
}

pub(super) fn encode(held: &Held) -> Vec<u8> {
    let mut data = BytesMut::with_capacity(49 + held.bytes.len());
    data.put_u8(VERSION);
    for position in held.stamp.0 {
        data.put_i64(position.xid);
        data.put_i64(position.seq);
    }
    data.put_slice(&held.bytes);
    data.to_vec()
}

fn decode(data: Vec<u8>) -> Option<Held> {
    let mut bytes = Bytes::from(data);
    if bytes.len() < 49 || bytes.get_u8() != VERSION {
        return None;
    }
    let stamp = Stamp([(); 3].map(|()| Position { xid: bytes.get_i64(), seq: bytes.get_i64() }));
    Some(Held { stamp, bytes })
}

/// What Redis holds of one customer.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) erased: bool,
    pub(crate) lease: Option<Vec<u8>>,
    pub(crate) sections: [Option<Held>; 3],
    pub(crate) marks: Stamp,
}

impl View {
    pub(super) fn decode(values: Vec<Option<Vec<u8>>>) -> Self {
        let mut values = values.into_iter();
        let mut next = || values.next().flatten();
        let mut view = Self { erased: next().is_some(), lease: next(), ..Self::default() };
        for section in Section::ALL {
            view.sections[section.index()] = next().and_then(decode);
            if let Some(mark) = next().as_deref().and_then(parse_digits) {
                view.marks.raise(section, mark);
            }
        }
        view
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn positions() -> impl Strategy<Value = Position> {
        (0..=i64::MAX, 0..=i64::MAX).prop_map(|(xid, seq)| Position { xid, seq })
    }

    proptest! {
        #[test]
        fn digits_sort_as_positions_do(a in positions(), b in positions()) {
            prop_assert_eq!(a.cmp(&b), digits(a).cmp(&digits(b)));
            prop_assert_eq!(parse_digits(digits(a).as_bytes()), Some(a));
        }

        #[test]
        fn a_section_and_back(a in positions(), b in positions(), c in positions(), bytes: Vec<u8>) {
            let held = Held { stamp: Stamp([a, b, c]), bytes: bytes.into() };
            prop_assert_eq!(decode(encode(&held)), Some(held));
        }

        #[test]
        fn any_bytes_are_refused_without_panic(values in prop::collection::vec(prop::option::of(any::<Vec<u8>>()), 0..9)) {
            let _ = View::decode(values);
        }
    }
}
