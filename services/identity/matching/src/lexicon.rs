//! Interned text: every distinct value once, with what comparing needs of it worked out beforehand.

use rustc_hash::FxHashMap;

use crate::{
    nickname::{self, Formal},
    normalize::text::script,
    phonetic,
    similarity::{LONGEST, encode, jaro_winkler, within_one_edit},
    sketch::Sketch,
};

/// A value of a [`Lexicon`]; [`NONE`] is absence.
pub type Term = u32;

/// No value.
pub const NONE: Term = 0;

/// One distinct value, in one line of the processor's cache.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub struct Word {
    bytes: [u8; LONGEST],
    /// Formal given names that it may stand for.
    pub formals: &'static [Formal],
    /// A hash that is the same in every process and version.
    pub hash: u64,
    /// Where the words of a value of several words begin, in this lexicon too, and how many they are.
    parts: u32,
    part_count: u8,
    length: u8,
}

/// What is looked at first.
#[derive(Clone, Copy, Debug)]
struct Glance {
    sketch: Sketch,
    sound: u64,
}

impl Word {
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
    /// Whether this and the other share a formal name.
    pub fn is_nickname_of(&self, other: &Word) -> bool {
        let (mut a, mut b) = (self.formals, other.formals);
        while let ([x, rest_a @ ..], [y, rest_b @ ..]) = (a, b) {
            match x.cmp(y) {
                std::cmp::Ordering::Less => a = rest_a,
                std::cmp::Ordering::Greater => b = rest_b,
                std::cmp::Ordering::Equal => return true,
            }
        }
        false
    }
}

/// Distinct values by number. Number 0 is [`NONE`].
#[derive(Clone, Debug)]
pub struct Lexicon {
    terms: FxHashMap<Box<str>, Term>,
    words: Vec<Word>,
    glances: Vec<Glance>,
    parts: Vec<Term>,
}

impl Default for Lexicon {
    fn default() -> Lexicon {
        let none = Word { bytes: [0; LONGEST], formals: &[], hash: 0, parts: 0, part_count: 0, length: 0 };
        let glance = Glance { sketch: Sketch::NONE, sound: 0 };
        Lexicon { terms: FxHashMap::default(), words: vec![none], glances: vec![glance], parts: Vec::new() }
    }
}

impl Lexicon {
    /// The number of a value; [`NONE`] of the empty one.
    pub fn intern(&mut self, text: &str) -> Term {
        if text.is_empty() {
            return NONE;
        }
        if let Some(term) = self.terms.get(text) {
            return *term;
        }
        let parts: Vec<Term> = if text.contains(' ') {
            text.split(' ').filter(|part| part.len() > 2).take(4).map(|part| self.intern(part)).collect()
        } else {
            Vec::new()
        };
        let first_part = self.parts.len() as u32;
        self.parts.extend_from_slice(&parts);
        let encoded = encode(text);
        let mut bytes = [0; LONGEST];
        bytes[..encoded.len()].copy_from_slice(&encoded);
        let term = self.words.len() as Term;
        let formals = nickname::formals(text);
        self.words.push(Word {
            bytes,
            formals,
            hash: stable_hash(text.as_bytes()),
            parts: first_part,
            part_count: parts.len() as u8,
            length: encoded.len() as u8,
        });
        let sketch = Sketch::new(&encoded, script(text), !parts.is_empty(), !formals.is_empty());
        self.glances.push(Glance { sketch, sound: phonetic::sound(text) });
        self.terms.insert(text.into(), term);
        term
    }

    #[inline]
    pub fn word(&self, term: Term) -> &Word {
        &self.words[term as usize]
    }

    #[inline]
    pub(crate) fn sketch(&self, term: Term) -> Sketch {
        self.glances[term as usize].sketch
    }

    /// How it sounds; see [`phonetic::sound`].
    #[inline]
    pub fn sound(&self, term: Term) -> u64 {
        self.glances[term as usize].sound
    }

    /// The words of a value of several; empty for one word.
    #[inline]
    pub fn parts(&self, term: Term) -> &[Term] {
        let word = self.word(term);
        &self.parts[word.parts as usize..word.parts as usize + usize::from(word.part_count)]
    }

    /// Whether the Jaro-Winkler similarity of two words reaches `least`. Of most their sketches tell.
    #[inline]
    pub(crate) fn reaches(&self, x: Term, y: Term, least: u32) -> bool {
        self.sketch(x).may_reach(self.sketch(y), least as i32)
            && jaro_winkler(self.word(x).bytes(), self.word(y).bytes()) >= least
    }

    /// Whether one edit at most lies between two words. Of most their sketches tell.
    #[inline]
    pub(crate) fn within_one_edit(&self, x: Term, y: Term) -> bool {
        self.sketch(x).may_be_one_edit_from(self.sketch(y))
            && within_one_edit(self.word(x).bytes(), self.word(y).bytes())
    }

    /// How many distinct values there are, [`NONE`] included.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    pub fn is_empty(&self) -> bool {
        self.words.len() == 1
    }
}

/// FNV-1a (Fowler, Noll, Vo), finished with the mixer of SplitMix64: models keep these hashes, so they must not change.
pub fn stable_hash(bytes: &[u8]) -> u64 {
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    mix(hash)
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014).
pub fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_one_number() {
        let mut lexicon = Lexicon::default();
        let one = lexicon.intern("sanchez mendoza");
        assert_eq!(lexicon.intern("sanchez mendoza"), one);
        assert_eq!(lexicon.intern(""), NONE);
        let part = lexicon.intern("sanchez");
        assert!(lexicon.parts(one).contains(&part));
    }

    #[test]
    fn hashes_do_not_change() {
        assert_eq!(stable_hash(b"smith"), stable_hash(b"smith"));
        assert_eq!(stable_hash(b""), mix(0xcbf2_9ce4_8422_2325));
    }
}
