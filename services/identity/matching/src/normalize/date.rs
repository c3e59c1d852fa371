//! Birth dates: whole, partial, or guessed from an age.

use super::text::words;
use crate::record::BirthDate;

/// A date of which parts may be unknown (0), in 32 bits: year, month, day from the highest to the lowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartialDate(u32);

impl PartialDate {
    /// From parts; 0 is unknown. A month or day that does not exist is unknown.
    pub fn new(year: u16, month: u8, day: u8) -> PartialDate {
        let month = if month <= 12 { month } else { 0 };
        let day = if day <= 31 { day } else { 0 };
        PartialDate(u32::from(year) << 9 | u32::from(month) << 5 | u32::from(day))
    }
    pub fn year(self) -> u16 {
        (self.0 >> 9) as u16
    }
    pub fn month(self) -> u8 {
        (self.0 >> 5 & 15) as u8
    }
    pub fn day(self) -> u8 {
        (self.0 & 31) as u8
    }
    pub fn is_missing(self) -> bool {
        self.0 == 0
    }
    /// Whether year, month and day are known.
    pub fn is_whole(self) -> bool {
        self.year() != 0 && self.month() != 0 && self.day() != 0
    }
    /// The bits, as a value to count and to hash.
    pub fn bits(self) -> u32 {
        self.0
    }
    /// Days since the year 0, by months of 31 days: good for nearness only.
    pub fn ordinal(self) -> i32 {
        (i32::from(self.year()) * 12 + i32::from(self.month())) * 31 + i32::from(self.day())
    }
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Two-digit years up to this one are of this century. People give birth dates: most are of the last.
const PIVOT: u16 = 25;

/// Normalises a birth date. Where the order of day and month is open, the month is first if it can be; comparing knows
/// that they may be swapped.
pub fn normalize(date: &BirthDate) -> PartialDate {
    match date {
        BirthDate::Text(text) => parse(text),
        BirthDate::Parts { year, month, day } => {
            PartialDate::new(year.unwrap_or(0), month.unwrap_or(0), day.unwrap_or(0))
        }
        BirthDate::Age { years, in_year } => PartialDate::new(in_year.saturating_sub(*years), 0, 0),
    }
}

fn parse(text: &str) -> PartialDate {
    // A time of day says nothing about a birth date.
    let text = match text.trim().get(..10) {
        Some(date) if date.bytes().filter(|byte| *byte == b'-').count() == 2 && date.as_bytes()[4] == b'-' => date,
        _ => text,
    };
    let mut parts = words(text);
    let month_name = parts.iter().position(|part| month_of(part).is_some());
    if let Some(at) = month_name {
        let month = month_of(&parts.remove(at)).unwrap_or(0);
        let numbers: Vec<&str> =
            parts.iter().map(|part| part.trim_end_matches(|c: char| !c.is_ascii_digit())).collect();
        return match numbers[..] {
            [year] if year.len() == 4 => PartialDate::new(number(year), month, 0),
            [year] if at == 0 || number(year) > 31 => PartialDate::new(year_of(year), month, 0),
            [first, second] if first.len() == 4 => PartialDate::new(number(first), month, small(second)),
            [first, second, ..] => PartialDate::new(year_of(second), month, small(first)),
            _ => PartialDate::new(0, month, 0),
        };
    }
    match parts.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [all] if all.len() == 8 && !all.bytes().all(|b| b.is_ascii_digit()) => PartialDate::default(),
        [all] if all.len() == 8 && number(&all[..4]) > 1231 => {
            PartialDate::new(number(&all[..4]), small(&all[4..6]), small(&all[6..]))
        }
        [all] if all.len() == 8 => day_and_month(number(&all[4..]), number(&all[..2]), number(&all[2..4])),
        [year] if year.len() == 4 => PartialDate::new(number(year), 0, 0),
        [year, month] if year.len() == 4 => PartialDate::new(number(year), small(month), 0),
        [month, year] if year.len() == 4 => PartialDate::new(number(year), small(month), 0),
        [year, month, day] if year.len() == 4 => {
            if number(month) > 12 && number(day) <= 12 {
                PartialDate::new(number(year), small(day), small(month))
            } else {
                PartialDate::new(number(year), small(month), small(day))
            }
        }
        [first, second, year] => day_and_month(year_of(year), number(first), number(second)),
        _ => PartialDate::default(),
    }
}

fn day_and_month(year: u16, first: u16, second: u16) -> PartialDate {
    let (month, day) = if first > 12 && second <= 12 { (second, first) } else { (first, second) };
    PartialDate::new(year, month.min(255) as u8, day.min(255) as u8)
}

fn number(text: &str) -> u16 {
    text.parse().unwrap_or(0)
}

/// A month or a day; 0 for what is neither.
fn small(text: &str) -> u8 {
    text.parse().unwrap_or(0)
}

fn year_of(text: &str) -> u16 {
    match number(text) {
        year if text.len() > 2 => year,
        year if year <= PIVOT => 2000 + year,
        year => 1900 + year,
    }
}

fn month_of(word: &str) -> Option<u8> {
    let start = word.get(..3)?;
    word.bytes().all(|b| b.is_ascii_alphabetic()).then_some(())?;
    MONTHS.iter().position(|month| *month == start).map(|at| at as u8 + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> (u16, u8, u8) {
        let date = parse(text);
        (date.year(), date.month(), date.day())
    }

    #[test]
    fn the_ways_to_write_a_date() {
        for text in [
            "1970-03-01",
            "19700301",
            "3/1/1970",
            "3/1/70",
            "Mar 1 1970",
            "1-Mar-70",
            "1. March 1970",
            "1970-03-01T00:00:00Z",
        ] {
            assert_eq!(read(text), (1970, 3, 1), "{text}");
        }
        assert_eq!(read("20/8/1991"), (1991, 8, 20));
        assert_eq!(read("24-May-11"), (2011, 5, 24));
        assert_eq!(read("1984"), (1984, 0, 0));
        assert_eq!(read("1984-05"), (1984, 5, 0));
        assert_eq!(read("unknown"), (0, 0, 0));
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC{0,24}") {
            parse(&text);
        }

        #[test]
        fn iso_dates_are_read_as_written(year in 1880u16..2026, month in 1u8..=12, day in 1u8..=28) {
            prop_assert_eq!(read(&format!("{year:04}-{month:02}-{day:02}")), (year, month, day));
        }
    }
}
