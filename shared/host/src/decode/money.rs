//! Money, to a millionth of its currency's unit.

use rapport_proto::google::r#type::Money;
use terms::Fault;

use super::wrong;

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Amount {
    /// Three capital letters (ISO 4217).
    pub currency: String,
    /// Millionths of the currency's unit; 1.50 EUR is 1,500,000.
    pub micros: i64,
}

/// An amount of money; `None` when the field is absent.
///
/// # Errors
/// As [`amount`].
pub fn money(field: &str, value: Option<Money>) -> Result<Option<Amount>, Fault> {
    let Some(value) = value else { return Ok(None) };
    amount(field, &value.currency_code, value.units, value.nanos).map(Some)
}

/// Reads the parts of a `google.type.Money`: whole units and billionths, of the same sign.
///
/// # Errors
/// [`terms::Reason::InvalidFields`] for another currency code than three capital letters, parts of different signs,
/// billionths that are no whole millionths, and amounts beyond 9 billion units.
pub fn amount(field: &str, currency: &str, units: i64, nanos: i32) -> Result<Amount, Fault> {
    if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err(wrong(&format!("{field}.currency_code"), "is not three capital letters of ISO 4217, as in `EUR`"));
    }
    if !(-999_999_999..=999_999_999).contains(&nanos) {
        return Err(wrong(&format!("{field}.nanos"), "must lie between -999999999 and 999999999"));
    }
    if (units > 0 && nanos < 0) || (units < 0 && nanos > 0) {
        return Err(wrong(&format!("{field}.nanos"), "must have the same sign as the units"));
    }
    if nanos % 1_000 != 0 {
        return Err(wrong(&format!("{field}.nanos"), "must be whole millionths of the unit, a multiple of 1000"));
    }
    const MOST: i64 = 9_000_000_000;
    if !(-MOST..=MOST).contains(&units) {
        return Err(wrong(&format!("{field}.units"), "must lie between -9000000000 and 9000000000"));
    }
    Ok(Amount { currency: currency.to_owned(), micros: units * 1_000_000 + i64::from(nanos / 1_000) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        assert_eq!(amount("v", "EUR", -1, -500_000_000).unwrap().micros, -1_500_000);
        assert_eq!(amount("v", "JPY", 0, 0).unwrap().micros, 0);
        for (currency, units, nanos) in [
            ("eur", 1, 0),
            ("EURO", 1, 0),
            ("", 1, 0),
            ("EUR", 1, -1_000),
            ("EUR", -1, 1_000),
            ("EUR", 0, 1),
            ("EUR", 0, 1_000_000_000),
            ("EUR", i64::MAX, 0),
            ("EUR", i64::MIN, 0),
            ("EUR", 0, i32::MIN),
        ] {
            assert!(amount("v", currency, units, nanos).is_err(), "{currency} {units} {nanos}");
        }
    }
}
