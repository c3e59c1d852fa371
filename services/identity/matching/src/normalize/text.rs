//! Folding of text: what people type differently and mean the same.

use std::sync::LazyLock;

use icu_normalizer::DecomposingNormalizerBorrowed;

/// Compatibility decomposition (NFKD), without combining marks, in lower case; Latin letters that do not decompose and
/// Cyrillic are transliterated. Other scripts stay as they are.
pub fn fold(text: &str) -> String {
    static NFKD: LazyLock<DecomposingNormalizerBorrowed<'static>> =
        LazyLock::new(DecomposingNormalizerBorrowed::new_nfkd);
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let mut folded = String::with_capacity(text.len());
    for c in NFKD.normalize(text).chars().filter(|c| !is_combining(*c)).flat_map(char::to_lowercase) {
        match transliterate(c) {
            Some(latin) => folded.push_str(latin),
            None => folded.push(c),
        }
    }
    folded
}

fn is_combining(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

/// Words of letters and digits. Apostrophes and full stops within a word vanish (`O'Hare` is `ohare`, `P.O.` is `po`);
/// everything else separates.
pub fn words(text: &str) -> Vec<String> {
    let vanishes = |c: char| matches!(c, '\'' | '\u{2019}' | '\u{2018}' | '`' | '\u{02bc}');
    let stays = |c: char| c.is_alphanumeric() || is_joining_mark(c);
    let mut words = Vec::new();
    let folded = fold(text);
    for piece in folded.split(|c| !stays(c) && !vanishes(c) && c != '.').filter(|piece| !piece.is_empty()) {
        if piece.chars().all(stays) {
            words.push(piece.to_owned());
            continue;
        }
        let mut word = String::new();
        for c in piece.chars().filter(|c| !vanishes(*c)) {
            if stays(c) {
                word.push(c);
            } else if word.chars().nth(1).is_some() {
                // Initials stay together: `P.O.` is one word, `St.Louis` two.
                words.push(std::mem::take(&mut word));
            }
        }
        if !word.is_empty() {
            words.push(word);
        }
    }
    words
}

/// Vowel signs and the like of scripts that write them as marks (Khmer, Devanagari, Thai).
fn is_joining_mark(c: char) -> bool {
    matches!(c, '\u{900}'..='\u{dff}' | '\u{e31}'..='\u{e4e}' | '\u{1780}'..='\u{17d3}')
}

/// Digits alone.
pub fn digits(text: &str) -> String {
    fold(text).chars().filter(char::is_ascii_digit).collect()
}

/// The script of a word, as far as comparing names needs it: names in different scripts cannot be compared by their
/// letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Script {
    Latin,
    Arabic,
    Hebrew,
    Greek,
    Han,
    Other,
}

/// The script of the first letter that has one.
pub fn script(text: &str) -> Script {
    text.chars().find(|c| c.is_alphabetic()).map_or(Script::Latin, |c| match c {
        '\0'..='\u{24f}' | '\u{1e00}'..='\u{1eff}' => Script::Latin,
        '\u{370}'..='\u{3ff}' => Script::Greek,
        '\u{590}'..='\u{5ff}' => Script::Hebrew,
        '\u{600}'..='\u{77f}' | '\u{fb50}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}' => Script::Arabic,
        '\u{2e80}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}' => {
            Script::Han
        }
        _ => Script::Other,
    })
}

fn transliterate(c: char) -> Option<&'static str> {
    Some(match c {
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'ø' => "o",
        'đ' | 'ð' => "d",
        'þ' => "th",
        'ł' => "l",
        'ı' => "i",
        'ħ' => "h",
        // Cyrillic, by the letters that passports use (ICAO Doc 9303), without the soft and the hard sign.
        'а' => "a",
        'б' => "b",
        'в' => "v",
        'г' | 'ґ' => "g",
        'д' => "d",
        'е' | 'э' | 'є' | 'ё' => "e",
        'ж' => "zh",
        'з' => "z",
        'и' | 'і' | 'й' | 'ї' => "i",
        'к' => "k",
        'л' => "l",
        'м' => "m",
        'н' => "n",
        'о' => "o",
        'п' => "p",
        'р' => "r",
        'с' => "s",
        'т' => "t",
        'у' | 'ў' => "u",
        'ф' => "f",
        'х' => "kh",
        'ц' => "ts",
        'ч' => "ch",
        'ш' => "sh",
        'щ' => "shch",
        'ъ' | 'ь' => "",
        'ы' => "y",
        'ю' => "iu",
        'я' => "ia",
        'ђ' => "dj",
        'ј' => "j",
        'љ' => "lj",
        'њ' => "nj",
        'ћ' => "c",
        'џ' => "dz",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accents_case_and_width_vanish() {
        assert_eq!(fold("Müllenkranz"), "mullenkranz");
        assert_eq!(fold("Straße"), "strasse");
        assert_eq!(fold("ＡＢＣ"), "abc");
        assert_eq!(fold("ВАСИЛЬЕВ"), "vasilev");
        assert_eq!(fold("Łódź"), "lodz");
    }

    #[test]
    fn words_keep_what_belongs_together() {
        assert_eq!(words("O'Hare, D’Arcy"), ["ohare", "darcy"]);
        assert_eq!(words("P.O. Box 12"), ["po", "box", "12"]);
        assert_eq!(words("St.Louis"), ["st", "louis"]);
        assert_eq!(words("Meier-Schmidt"), ["meier", "schmidt"]);
        assert!(words(" - ").is_empty());
    }

    #[test]
    fn scripts_are_told_apart() {
        assert_eq!(script("wang"), Script::Latin);
        assert_eq!(script("王杰"), Script::Han);
        assert_eq!(script("فيصل"), Script::Arabic);
        assert_eq!(script(&fold("Иванов")), Script::Latin);
    }
}
