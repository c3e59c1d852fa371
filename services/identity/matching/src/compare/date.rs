//! Birth dates: the ways in which one date is written as another.

use crate::{level::birth, normalize::date::PartialDate};

/// About six weeks, in [`PartialDate::ordinal`].
const NEAR: i32 = 45;

/// The level of two dates of which something is known.
pub fn compare(x: PartialDate, y: PartialDate) -> u8 {
    if x == y {
        return if x.is_whole() { birth::EXACT } else { birth::PARTIAL };
    }
    if !x.is_whole() || !y.is_whole() {
        return partial(x, y);
    }
    let (year, month, day) = (x.year() == y.year(), x.month() == y.month(), x.day() == y.day());
    let digits = |n: u16| [b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8];
    match (year, month, day) {
        (true, false, false) if x.month() == y.day() && x.day() == y.month() => birth::SWAPPED,
        (true, true, false) => {
            let (a, b) = (digits(x.day().into()), digits(y.day().into()));
            if one_apart(&a, &b) { birth::DAY_TYPO } else { birth::OTHER_DAY }
        }
        (true, false, true) => birth::MONTH_TYPO,
        (false, true, true) => {
            let year = |n: u16| [b'0' + (n / 1000 % 10) as u8, b'0' + (n / 100 % 10) as u8, digits(n)[0], digits(n)[1]];
            if one_apart(&year(x.year()), &year(y.year())) { birth::YEAR_TYPO } else { birth::OTHER_YEAR }
        }
        _ if (x.ordinal() - y.ordinal()).abs() <= NEAR || nearly(x, y) => birth::NEAR,
        (true, _, _) => birth::SAME_YEAR,
        _ => birth::DIFFERENT,
    }
}

/// One digit replaced, or two neighbours swapped.
fn one_apart(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && crate::similarity::within_one_edit(a, b)
}

/// Two small slips: the year off by one and the day or the month off by one.
fn nearly(x: PartialDate, y: PartialDate) -> bool {
    let off = [
        u32::from(x.year().abs_diff(y.year())),
        u32::from(x.month().abs_diff(y.month())),
        u32::from(x.day().abs_diff(y.day())),
    ];
    off.iter().all(|off| *off <= 1)
}

fn partial(x: PartialDate, y: PartialDate) -> u8 {
    let agree = |a: u16, b: u16| a == 0 || b == 0 || a == b;
    // A year taken from an age may be off by one.
    let near_year = x.year().abs_diff(y.year()) == 1 && (x.month() == 0 || y.month() == 0);
    let comparable = (x.year() != 0 && y.year() != 0) || (x.month() != 0 && y.month() != 0);
    if !comparable {
        crate::level::MISSING
    } else if (agree(x.year(), y.year()) || near_year)
        && agree(x.month().into(), y.month().into())
        && agree(x.day().into(), y.day().into())
    {
        birth::PARTIAL
    } else if x.year() == y.year() {
        birth::SAME_YEAR
    } else {
        birth::DIFFERENT
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn date(year: u16, month: u8, day: u8) -> PartialDate {
        PartialDate::new(year, month, day)
    }

    #[test]
    fn levels() {
        let at = date(1978, 12, 11);
        for (other, level) in [
            (date(1978, 12, 11), birth::EXACT),
            (date(1978, 11, 12), birth::SWAPPED),
            (date(1978, 12, 12), birth::DAY_TYPO),
            (date(1978, 12, 29), birth::OTHER_DAY),
            (date(1978, 2, 11), birth::MONTH_TYPO),
            (date(1987, 12, 11), birth::YEAR_TYPO),
            (date(1942, 12, 11), birth::OTHER_YEAR),
            (date(1979, 1, 3), birth::NEAR),
            (date(1978, 0, 0), birth::PARTIAL),
            (date(1978, 3, 29), birth::SAME_YEAR),
            (date(1956, 3, 29), birth::DIFFERENT),
        ] {
            assert_eq!(compare(at, other), level, "{other:?}");
        }
        assert_eq!(compare(date(1978, 0, 0), date(0, 5, 0)), crate::level::MISSING);
    }

    proptest! {
        #[test]
        fn symmetric(a in (1950u16..1960, 0u8..=12, 0u8..=31), b in (1950u16..1960, 0u8..=12, 0u8..=31)) {
            let (x, y) = (date(a.0, a.1, a.2), date(b.0, b.1, b.2));
            prop_assert_eq!(compare(x, y), compare(y, x));
        }
    }
}
