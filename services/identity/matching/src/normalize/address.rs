//! Postal addresses: parts from parts or from one line. No gazetteer: a house number, a street by its type word, a
//! postcode by its digits and a region at the end cover what comparing needs.

use super::text::{digits, words};
use crate::record::Address;

/// An address in folded parts. Empty where unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressParts {
    pub number: String,
    /// Name and type of the street, the type abbreviated, compass directions left out.
    pub street: String,
    pub unit: String,
    pub locality: String,
    pub postcode: String,
    pub region: String,
}

/// Street types, each with its abbreviation.
const STREET_TYPES: [(&str, &str); 66] = [
    ("street", "st"),
    ("str", "st"),
    ("st", "st"),
    ("strasse", "st"),
    ("road", "rd"),
    ("rd", "rd"),
    ("avenue", "ave"),
    ("ave", "ave"),
    ("av", "ave"),
    ("lane", "ln"),
    ("ln", "ln"),
    ("drive", "dr"),
    ("dr", "dr"),
    ("drv", "dr"),
    ("place", "pl"),
    ("pl", "pl"),
    ("court", "ct"),
    ("ct", "ct"),
    ("crescent", "cres"),
    ("cres", "cres"),
    ("cr", "cres"),
    ("circuit", "cct"),
    ("cct", "cct"),
    ("boulevard", "blvd"),
    ("blvd", "blvd"),
    ("way", "way"),
    ("wy", "way"),
    ("terrace", "tce"),
    ("tce", "tce"),
    ("ter", "tce"),
    ("close", "cl"),
    ("cl", "cl"),
    ("highway", "hwy"),
    ("hwy", "hwy"),
    ("parkway", "pkwy"),
    ("pkwy", "pkwy"),
    ("square", "sq"),
    ("sq", "sq"),
    ("circle", "cir"),
    ("cir", "cir"),
    ("trail", "trl"),
    ("trl", "trl"),
    ("plaza", "plz"),
    ("plz", "plz"),
    ("parade", "pde"),
    ("pde", "pde"),
    ("grove", "grv"),
    ("gr", "grv"),
    ("grv", "grv"),
    ("gardens", "gdns"),
    ("gdns", "gdns"),
    ("alley", "aly"),
    ("allee", "aly"),
    ("weg", "weg"),
    ("platz", "pl"),
    ("gasse", "gasse"),
    ("ul", "ul"),
    ("ulica", "ul"),
    ("rue", "rue"),
    ("via", "via"),
    ("calle", "calle"),
    ("rise", "rise"),
    ("row", "row"),
    ("mews", "mews"),
    ("pike", "pike"),
    ("esplanade", "esp"),
];

/// Words that introduce a unit within a building.
const UNIT_WORDS: [&str; 17] = [
    "apt",
    "apartment",
    "appt",
    "suite",
    "ste",
    "unit",
    "flat",
    "floor",
    "room",
    "rm",
    "level",
    "bldg",
    "building",
    "bld",
    "lot",
    "penthouse",
    "no",
];

const DIRECTIONS: [&str; 12] = ["n", "s", "e", "w", "ne", "nw", "se", "sw", "north", "south", "east", "west"];

/// Regions that are written in two ways: the states of the United States and of Australia, the provinces of Canada.
const REGIONS: [(&str, &str); 72] = [
    ("alabama", "al"),
    ("alaska", "ak"),
    ("arizona", "az"),
    ("arkansas", "ar"),
    ("california", "ca"),
    ("colorado", "co"),
    ("connecticut", "ct"),
    ("delaware", "de"),
    ("florida", "fl"),
    ("georgia", "ga"),
    ("hawaii", "hi"),
    ("idaho", "id"),
    ("illinois", "il"),
    ("indiana", "in"),
    ("iowa", "ia"),
    ("kansas", "ks"),
    ("kentucky", "ky"),
    ("louisiana", "la"),
    ("maine", "me"),
    ("maryland", "md"),
    ("massachusetts", "ma"),
    ("michigan", "mi"),
    ("minnesota", "mn"),
    ("mississippi", "ms"),
    ("missouri", "mo"),
    ("montana", "mt"),
    ("nebraska", "ne"),
    ("nevada", "nv"),
    ("new hampshire", "nh"),
    ("new jersey", "nj"),
    ("new mexico", "nm"),
    ("new york", "ny"),
    ("north carolina", "nc"),
    ("north dakota", "nd"),
    ("ohio", "oh"),
    ("oklahoma", "ok"),
    ("oregon", "or"),
    ("pennsylvania", "pa"),
    ("rhode island", "ri"),
    ("south carolina", "sc"),
    ("south dakota", "sd"),
    ("tennessee", "tn"),
    ("texas", "tx"),
    ("utah", "ut"),
    ("vermont", "vt"),
    ("virginia", "va"),
    ("washington", "wa"),
    ("west virginia", "wv"),
    ("wisconsin", "wi"),
    ("wyoming", "wy"),
    ("district of columbia", "dc"),
    ("new south wales", "nsw"),
    ("victoria", "vic"),
    ("queensland", "qld"),
    ("south australia", "sa"),
    ("western australia", "wa"),
    ("tasmania", "tas"),
    ("northern territory", "nt"),
    ("australian capital territory", "act"),
    ("ontario", "on"),
    ("quebec", "qc"),
    ("british columbia", "bc"),
    ("alberta", "ab"),
    ("manitoba", "mb"),
    ("saskatchewan", "sk"),
    ("nova scotia", "ns"),
    ("new brunswick", "nb"),
    ("newfoundland", "nl"),
    ("prince edward island", "pe"),
    ("yukon", "yt"),
    ("nunavut", "nu"),
    ("northwest territories", "nt"),
];

/// Normalises an address. Parts that were given hold; the rest is read from the street line and from `full`.
pub fn normalize(address: &Address) -> AddressParts {
    let mut parts = AddressParts {
        number: words(&address.number).concat(),
        unit: unit_of(&words(&address.unit)),
        locality: words(&address.locality).join(" "),
        postcode: postcode(&address.postcode),
        region: region(&words(&address.region)),
        street: String::new(),
    };
    let line = if address.street.trim().is_empty() { &address.full } else { &address.street };
    let mut segments: Vec<Vec<String>> =
        line.split([',', '\n', ';']).map(words).filter(|segment| !segment.is_empty()).collect();
    take_unit(&mut segments, &mut parts);
    if let Some(at) = street_segment(&segments) {
        let segment = segments.remove(at);
        let rest = split_street(segment, &mut parts);
        // A building's name may stand before the street; the area stands after it.
        segments.drain(..at);
        if !rest.is_empty() {
            segments.insert(0, rest);
        }
        read_area(segments, &mut parts);
    } else {
        read_area(segments, &mut parts);
    }
    parts
}

/// Finds and removes `apt 4`, `suite 900`, `#12` after a street.
fn take_unit(segments: &mut Vec<Vec<String>>, parts: &mut AddressParts) {
    for segment in segments.iter_mut() {
        let found = segment.iter().enumerate().position(|(at, word)| {
            let next = segment.get(at + 1);
            UNIT_WORDS.contains(&word.as_str())
                && next.is_some_and(|next| next.bytes().any(|b| b.is_ascii_digit()) || next.len() == 1)
                // `no 321` at the start is the house.
                && !(word == "no" && at == 0)
        });
        if let Some(at) = found {
            let unit: Vec<String> = segment.drain(at..=at + 1).collect();
            if parts.unit.is_empty() {
                parts.unit = unit_of(&unit);
            }
        }
    }
    segments.retain(|segment| !segment.is_empty());
}

fn unit_of(words: &[String]) -> String {
    let kept: Vec<&str> = words.iter().map(String::as_str).filter(|word| !UNIT_WORDS.contains(word)).collect();
    kept.concat()
}

/// The segment that looks most like a street: a number and a type, a number and words, a type, or else the first.
fn street_segment(segments: &[Vec<String>]) -> Option<usize> {
    let has_digit = |segment: &[String]| segment.iter().any(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let has_type = |segment: &[String]| segment.iter().any(|word| street_type(word).is_some());
    let is_box = |segment: &[String]| segment.windows(2).any(|pair| pair[0] == "po" && pair[1] == "box");
    let best = |matches: &dyn Fn(&[String]) -> bool| segments.iter().position(|segment| matches(segment));
    best(&is_box)
        .or_else(|| best(&|s: &[String]| has_digit(s) && s.len() > 1 && has_type(s)))
        .or_else(|| best(&has_type))
        .or_else(|| best(&|s: &[String]| has_digit(s) && s.len() > 1))
        .or((!segments.is_empty()).then_some(0))
}

/// Takes number and street from the front of a segment; what is left is the area.
fn split_street(words: Vec<String>, parts: &mut AddressParts) -> Vec<String> {
    if words.windows(2).any(|pair| pair[0] == "po" && pair[1] == "box") {
        let after = words.iter().position(|word| word == "box").unwrap_or(0) + 1;
        parts.street = "po box".into();
        if let Some(number) = words.get(after) {
            parts.number.clone_from(number);
        }
        return words.get(after + 1..).unwrap_or_default().to_vec();
    }
    let mut rest = words;
    // A building's name before the number.
    if parts.number.is_empty() {
        let at = rest.iter().position(|word| starts_with_digit(word) && !is_ordinal(word));
        match at {
            Some(0) => parts.number = rest.remove(0),
            // `no 321 street 128`, `hughes plaza 100 howard way`, `ansbacher strasse 23`.
            Some(at) if rest[..at].iter().all(|word| UNIT_WORDS.contains(&word.as_str())) => {
                parts.number = rest.remove(at);
                rest.drain(..at);
            }
            Some(at) if at + 1 == rest.len() || !rest[at + 1..].iter().any(|word| street_type(word).is_some()) => {
                parts.number = rest.remove(at);
                let after = rest.split_off(at);
                parts.street = street_of(&rest);
                return after;
            }
            Some(at) => {
                parts.number = rest.remove(at);
                rest.drain(..at);
            }
            None => {}
        }
    }
    let end = rest
        .iter()
        .enumerate()
        .skip(1)
        .find(|(_, word)| street_type(word).is_some())
        .map(|(at, _)| at + 1)
        // `street 128`
        .or_else(|| (rest.len() > 1 && street_type(&rest[0]).is_some() && starts_with_digit(&rest[1])).then_some(2));
    let after = end.map_or_else(Vec::new, |end| rest.split_off(end));
    parts.street = street_of(&rest);
    after
}

fn street_of(words: &[String]) -> String {
    let kept: Vec<&str> = words
        .iter()
        .enumerate()
        .filter(|(_, word)| words.len() < 2 || !DIRECTIONS.contains(&word.as_str()))
        .map(|(at, word)| if at > 0 || words.len() == 1 { street_type(word).unwrap_or(word) } else { word })
        .collect();
    let street = kept.join(" ");
    match street.strip_suffix("strasse") {
        Some(name) if !name.is_empty() && !name.ends_with(' ') => format!("{name} st"),
        _ => street,
    }
}

/// Postcode, region and locality from what follows the street; the last segment first.
fn read_area(segments: Vec<Vec<String>>, parts: &mut AddressParts) {
    let mut rest: Vec<String> = Vec::new();
    for segment in segments {
        // A direction that was left over from the street is no place.
        let first = rest.is_empty();
        rest.extend(segment.into_iter().skip_while(|word| first && DIRECTIONS.contains(&word.as_str())));
    }
    if parts.postcode.is_empty()
        && let Some((at, length)) = find_postcode(&rest)
    {
        parts.postcode = rest.drain(at..at + length).collect::<String>();
        parts.postcode = postcode(&parts.postcode);
    }
    if parts.region.is_empty() {
        for length in (1..=3).rev() {
            if rest.len() >= length
                && let Some(code) = region_code(&rest[rest.len() - length..].join(" "))
                && (rest.len() > length || !parts.locality.is_empty() || code.len() == rest[rest.len() - 1].len())
            {
                parts.region = code.into();
                rest.truncate(rest.len() - length);
                break;
            }
        }
    }
    if parts.locality.is_empty() {
        rest.dedup();
        parts.locality = rest.join(" ");
    }
}

/// Where a postcode stands: the last word of 4 to 9 digits, or two words such as `le11 1uu`.
fn find_postcode(words: &[String]) -> Option<(usize, usize)> {
    let mixed = |word: &str| {
        word.len() <= 4 && word.bytes().any(|b| b.is_ascii_digit()) && word.bytes().any(|b| b.is_ascii_alphabetic())
    };
    (0..words.len()).rev().find_map(|at| {
        let word = &words[at];
        if (4..=9).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_digit()) {
            return Some((at, 1));
        }
        (at > 0 && mixed(word) && mixed(&words[at - 1])).then(|| (at - 1, 2))
    })
}

/// Letters and digits alone; of a code of nine digits the first five, leading zeros restored by nobody.
fn postcode(text: &str) -> String {
    let code = words(text).concat();
    if code.len() == 9 && digits(&code).len() == 9 { code[..5].to_owned() } else { code }
}

fn region(words: &[String]) -> String {
    let joined = words.join(" ");
    region_code(&joined).map_or(joined.clone(), str::to_owned)
}

fn region_code(text: &str) -> Option<&'static str> {
    REGIONS.iter().find(|(name, code)| *name == text || *code == text).map(|(_, code)| *code)
}

fn street_type(word: &str) -> Option<&'static str> {
    STREET_TYPES.iter().find(|(name, _)| *name == word).map(|(_, code)| *code)
}

fn starts_with_digit(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
}

/// `15th`, `3rd`: a street by number.
fn is_ordinal(word: &str) -> bool {
    starts_with_digit(word) && ["st", "nd", "rd", "th"].iter().any(|end| word.ends_with(end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(full: &str) -> [String; 6] {
        let parts = normalize(&Address { full: full.into(), ..Address::default() });
        [parts.number, parts.street, parts.unit, parts.locality, parts.postcode, parts.region]
    }

    #[test]
    fn one_line_is_parsed() {
        for (line, expected) in [
            ("123 Main Street, Las Vegas NV 89132", ["123", "main st", "", "las vegas", "89132", "nv"]),
            ("9304 W. 15th St La Blanca, FL 60527", ["9304", "15th st", "", "la blanca", "60527", "fl"]),
            ("Suite 900, 1450 N City Rd", ["1450", "city rd", "900", "", "", ""]),
            ("1450 N City Rd Suite 900", ["1450", "city rd", "900", "", "", ""]),
            ("P.O. Box 12987", ["12987", "po box", "", "", "", ""]),
            ("Ansbacher Strasse 23, 56422 Dusseldorf", ["23", "ansbacher st", "", "dusseldorf", "56422", ""]),
            ("Hardenbergstraße 87", ["87", "hardenberg st", "", "", "", ""]),
            ("445 Overpass Rd San Ramon", ["445", "overpass rd", "", "san ramon", "", ""]),
            ("Skyline Apartments, 705 Sheppard Ave", ["705", "sheppard ave", "", "", "", ""]),
        ] {
            assert_eq!(read(line), expected.map(String::from), "{line}");
        }
    }

    #[test]
    fn parts_hold() {
        let parts = normalize(&Address {
            number: "8".into(),
            street: "Stanley Street".into(),
            unit: "Flat 2".into(),
            locality: "Winston Hills".into(),
            postcode: "4223-".into(),
            region: "New South Wales".into(),
            ..Address::default()
        });
        assert_eq!((parts.number.as_str(), parts.street.as_str(), parts.unit.as_str()), ("8", "stanley st", "2"));
        assert_eq!((parts.postcode.as_str(), parts.region.as_str()), ("4223", "nsw"));
    }

    proptest! {
        #[test]
        fn nothing_panics(line in "\\PC{0,40}", street in "[a-z0-9 ,#]{0,30}") {
            normalize(&Address { full: line, ..Address::default() });
            normalize(&Address { street, ..Address::default() });
        }
    }
}
