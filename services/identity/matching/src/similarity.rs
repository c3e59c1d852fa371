//! String similarity over bytes, without allocation. Letters outside ASCII are folded to one byte each by [`encode`].

/// How many letters of a string take part; what is beyond is ignored.
pub const LONGEST: usize = 32;

/// One byte a letter: ASCII as it is, others by their low seven bits in the upper half. Two letters may share a byte;
/// then strings look a little more alike than they are.
pub fn encode(text: &str) -> Vec<u8> {
    text.chars().map(|c| if c.is_ascii() { c as u8 } else { 0x80 | (c as u32 % 128) as u8 }).take(LONGEST).collect()
}

/// Jaro-Winkler similarity in thousandths (Winkler 1990): common letters within half the longer length, less half the
/// transpositions, raised by a common prefix of up to four letters.
///
/// Jaro's greedy assignment of common letters may depend on which string comes first; here the lesser always does, so
/// that the similarity is symmetric.
#[inline]
pub fn jaro_winkler(a: &[u8], b: &[u8]) -> u32 {
    let (a, b) = if (a.len(), a) <= (b.len(), b) { (a, b) } else { (b, a) };
    let jaro = jaro(a, b);
    let prefix = common_prefix(a, b, 4);
    jaro + (1000 - jaro) * prefix / 10
}

#[inline]
fn common_prefix(a: &[u8], b: &[u8], most: usize) -> u32 {
    a.iter().zip(b).take(most).take_while(|(x, y)| x == y).count() as u32
}

fn jaro(a: &[u8], b: &[u8]) -> u32 {
    let (a, b) = (&a[..a.len().min(LONGEST)], &b[..b.len().min(LONGEST)]);
    if a.is_empty() || b.is_empty() {
        return if a.len() == b.len() { 1000 } else { 0 };
    }
    let reach = (a.len().max(b.len()) / 2).saturating_sub(1);
    let (mut in_a, mut in_b) = (0u32, 0u32);
    for (i, x) in a.iter().enumerate() {
        let from = i.saturating_sub(reach);
        let to = (i + reach + 1).min(b.len());
        if from >= to {
            continue;
        }
        for (j, y) in b[from..to].iter().enumerate() {
            let bit = 1u32 << (from + j);
            if x == y && in_b & bit == 0 {
                in_a |= 1 << i;
                in_b |= bit;
                break;
            }
        }
    }
    let common = in_a.count_ones();
    if common == 0 {
        return 0;
    }
    let mut misplaced = 0;
    let (mut rest_a, mut rest_b) = (in_a, in_b);
    while rest_a != 0 {
        let (i, j) = (rest_a.trailing_zeros() as usize, rest_b.trailing_zeros() as usize);
        misplaced += u32::from(a[i] != b[j]);
        rest_a &= rest_a - 1;
        rest_b &= rest_b - 1;
    }
    let transposed = misplaced / 2;
    let (la, lb) = (a.len() as u32, b.len() as u32);
    // (c/la + c/lb + (c - t)/c) / 3, rounded down once.
    let sum = 1000 * (common * common * (la + lb) + (common - transposed) * la * lb);
    sum / (3 * common * la * lb)
}

/// Whether one edit (insert, delete, replace, or swap of neighbours) at most makes `a` into `b`: optimal string
/// alignment distance at most 1.
#[inline]
pub fn within_one_edit(a: &[u8], b: &[u8]) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if long.len() - short.len() > 1 {
        return false;
    }
    let Some(at) = short.iter().zip(long).position(|(x, y)| x != y) else { return true };
    if long.len() > short.len() {
        return short[at..] == long[at + 1..];
    }
    if short[at + 1..] == long[at + 1..] {
        return true;
    }
    at + 1 < short.len() && short[at] == long[at + 1] && short[at + 1] == long[at] && short[at + 2..] == long[at + 2..]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn published_examples() {
        // Winkler (1990): MARTHA/MARHTA .961, DWAYNE/DUANE .840, DIXON/DICKSONX .813.
        for (a, b, expected) in [("martha", "marhta", 961), ("dwayne", "duane", 840), ("dixon", "dicksonx", 813)] {
            assert!(jaro_winkler(a.as_bytes(), b.as_bytes()).abs_diff(expected) <= 1, "{a} {b}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_strsim(a in "[a-e]{0,12}", b in "[a-e]{0,12}") {
            let ours = jaro_winkler(a.as_bytes(), b.as_bytes());
            let (a, b) = if (a.len(), &a) <= (b.len(), &b) { (a, b) } else { (b, a) };
            let theirs = strsim::jaro(&a, &b);
            let prefix = a.bytes().zip(b.bytes()).take(4).take_while(|(x, y)| x == y).count() as f64;
            let theirs = theirs + prefix * 0.1 * (1.0 - theirs);
            prop_assert!((f64::from(ours) / 1000.0 - theirs).abs() < 0.003, "{} {}", ours, theirs);
        }

        #[test]
        fn one_edit_is_osa_distance_one(a in "[a-c]{0,6}", b in "[a-c]{0,6}") {
            prop_assert_eq!(within_one_edit(a.as_bytes(), b.as_bytes()), strsim::osa_distance(&a, &b) <= 1);
        }

        #[test]
        fn similarity_is_symmetric(a in "[a-d]{0,10}", b in "[a-d]{0,10}") {
            let (a, b) = (a.as_bytes(), b.as_bytes());
            prop_assert_eq!(jaro_winkler(a, b), jaro_winkler(b, a));
        }
    }
}
