//! What is known of a word in 64 bits: enough to see of most pairs of words that they are not alike, without the words.
//!
//! Comparing is bound by memory: words lie scattered, their sketches close together.

use crate::normalize::text::Script;

/// Which letters a word has (a bit each for `a` to `z` and the digits, one for all else), its length, its first two
/// letters, its script, and whether it has several words and is a given name that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sketch(u64);

const LETTERS: u64 = (1 << 37) - 1;
const DIGITS: u64 = 0x3ff << 26;
const LENGTH: u32 = 37;
const FIRST: u32 = 43;
const SECOND: u32 = 51;
const SCRIPT: u32 = 59;
const SEVERAL: u32 = 62;
const KNOWN: u32 = 63;

impl Sketch {
    /// Of no word.
    pub const NONE: Sketch = Sketch(0);

    /// `text` is encoded; see [`crate::similarity::encode`].
    pub fn new(text: &[u8], script: Script, several: bool, known: bool) -> Sketch {
        let letters = text.iter().fold(0, |letters, byte| {
            letters
                | match byte {
                    b'a'..=b'z' => 1 << (byte - b'a'),
                    b'0'..=b'9' => 1 << (26 + byte - b'0'),
                    _ => 1 << 36,
                }
        });
        let at = |place: usize| u64::from(text.get(place).copied().unwrap_or(0));
        let bits = letters
            | (text.len() as u64) << LENGTH
            | at(0) << FIRST
            | at(1) << SECOND
            | (script as u64) << SCRIPT
            | u64::from(several) << SEVERAL
            | u64::from(known) << KNOWN;
        Sketch(bits)
    }

    #[inline]
    pub fn length(self) -> u32 {
        (self.0 >> LENGTH) as u32 & 63
    }
    #[inline]
    pub fn bits(self) -> u64 {
        self.0
    }
    #[inline]
    pub fn is_initial(self) -> bool {
        self.length() == 1
    }
    #[inline]
    pub fn is_digits(self) -> bool {
        self.0 & LETTERS & !DIGITS == 0
    }
    /// Whether it is made of several words.
    #[inline]
    pub fn is_several(self) -> bool {
        self.0 >> SEVERAL & 1 == 1
    }
    /// Whether it is well known as a given name.
    #[inline]
    pub fn is_known(self) -> bool {
        self.0 >> KNOWN == 1
    }
    #[inline]
    pub fn script(self) -> u64 {
        self.0 >> SCRIPT & 7
    }
    #[inline]
    pub fn first(self) -> u64 {
        self.0 >> FIRST & 255
    }
    /// How many of the first two letters are common, or 4 if both: there may be more.
    #[inline]
    pub fn common_prefix(self, other: Sketch) -> i32 {
        match self.0 ^ other.0 {
            differ if differ >> FIRST & 255 != 0 => 0,
            differ if differ >> SECOND & 255 != 0 => 1,
            _ => 4,
        }
    }

    /// Whether one edit may make one into the other; `false` is certain. An edit takes one letter and brings another.
    #[inline]
    pub fn may_be_one_edit_from(self, other: Sketch) -> bool {
        self.length().abs_diff(other.length()) <= 1 && ((self.0 ^ other.0) & LETTERS).count_ones() <= 2
    }

    /// Whether one may be the end of the other; `false` is certain.
    #[inline]
    pub fn may_end(self, other: Sketch) -> bool {
        let (short, long) = if self.length() <= other.length() { (self, other) } else { (other, self) };
        short.0 & !long.0 & LETTERS == 0
    }

    /// Whether the Jaro-Winkler similarity may reach `least`; `false` is certain. Each letter that occurs in one word
    /// alone is a letter that cannot be common.
    #[inline]
    pub fn may_reach(self, other: Sketch, least: i32) -> bool {
        let (la, lb) = (self.length() as i32, other.length() as i32);
        let alone = |a: Sketch, b: Sketch| (a.0 & !b.0 & LETTERS).count_ones() as i32;
        let common = (la - alone(self, other)).min(lb - alone(other, self));
        if common <= 0 {
            return least == 0;
        }
        // (c/la + c/lb + 1) / 3, and what a common prefix makes of it, without a division.
        let (jaro, whole) = (1000 * (common * (la + lb) + la * lb), 3 * la * lb);
        let prefix = self.common_prefix(other);
        i64::from(jaro) * i64::from(10 - prefix) >= i64::from(10 * least - 1000 * prefix) * i64::from(whole)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::similarity::{jaro_winkler, within_one_edit};

    fn sketch(text: &str) -> Sketch {
        Sketch::new(text.as_bytes(), Script::Latin, false, false)
    }

    proptest! {
        #[test]
        fn bounds_are_bounds(a in "[a-d0-3 ]{1,10}", b in "[a-d0-3 ]{1,10}") {
            let (x, y) = (sketch(&a), sketch(&b));
            prop_assert!(x.may_reach(y, jaro_winkler(a.as_bytes(), b.as_bytes()) as i32));
            prop_assert!(x.may_be_one_edit_from(y) || !within_one_edit(a.as_bytes(), b.as_bytes()));
            prop_assert!(x.may_end(y) || !(a.ends_with(&b) || b.ends_with(&a)));
            prop_assert_eq!(x.is_digits(), a.bytes().all(|byte| byte.is_ascii_digit()));
        }
    }
}
