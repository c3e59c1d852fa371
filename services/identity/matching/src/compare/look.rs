//! Reading ahead. What is compared lies scattered in memory; to wait for all of it at once takes a fraction of the time of
//! waiting for one after the other.

use std::hint::black_box;

use crate::corpus::{AddressRow, Corpus, Lexicons, Person};

/// Reads what comparing two records reads first, but for addresses, which are often not looked at.
#[inline]
pub(super) fn ahead(corpus: &Corpus, x: &Person, y: &Person) {
    let Lexicons { names, emails, phones, .. } = &corpus.lexicons;
    let mut seen = 0;
    for person in [x, y] {
        if let [row, ..] = person.names.of(&corpus.names) {
            seen |= names.sketch(row.given).bits() | names.sketch(row.surname).bits();
        }
        if let [row, ..] = person.emails.of(&corpus.emails) {
            seen |= emails.sketch(row.whole).bits() | emails.sketch(row.local).bits();
        }
        if let [phone, ..] = person.phones.of(&corpus.phones) {
            seen |= phones.sketch(*phone).bits();
        }
    }
    black_box(seen);
}

/// Reads what comparing two addresses reads.
#[inline]
pub(super) fn ahead_at_addresses(corpus: &Corpus, x: &AddressRow, y: &AddressRow) {
    let Lexicons { streets, places, codes, .. } = &corpus.lexicons;
    let seen = [x, y].map(|row| {
        streets.sketch(row.street).bits()
            | codes.sketch(row.number).bits()
            | places.sketch(row.locality).bits()
            | codes.sketch(row.postcode).bits()
    });
    black_box(seen);
}
