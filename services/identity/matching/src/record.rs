//! A source record as it is handed in: everything optional, everything text, nothing normalised.

/// What names a record, and nothing else: it breaks ties, so that outcomes depend on the records and not on their order.
pub type RecordKey = u128;

/// What one source says about one person (or organisation). All of it is optional, and most may be said repeatedly.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    pub key: RecordKey,
    pub names: Vec<PersonName>,
    pub organisations: Vec<String>,
    pub birth_date: Option<BirthDate>,
    /// The source has seen proof of the birth date: a verified date that conflicts with another one is a veto.
    pub birth_date_verified: bool,
    pub addresses: Vec<Address>,
    pub emails: Vec<String>,
    pub phones: Vec<String>,
    pub identifiers: Vec<Identifier>,
    pub gender: Option<String>,
    /// Any other fields by name, such as `employer` or `birth_place`; the same name means the same field in every record.
    pub extra: Vec<(String, String)>,
}

/// A name in parts, or `full`, which is parsed where the parts are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PersonName {
    pub given: String,
    pub middle: String,
    pub family: String,
    /// `Jr`, `Senior`, `III`; found at the end of the other parts too.
    pub suffix: String,
    /// `First Middle Last` or `Last, First Middle`.
    pub full: String,
}

/// When someone was born, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BirthDate {
    /// A date in digits or with the month's name; years and months may stand alone.
    Text(String),
    /// Any part may be unknown.
    Parts { year: Option<u16>, month: Option<u8>, day: Option<u8> },
    /// An age in whole years, on a day of that year.
    Age { years: u16, in_year: u16 },
}

/// An address in parts, or as one line in `full`; whatever part is absent is looked for in `full`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    pub full: String,
    /// The number of the house in the street.
    pub number: String,
    /// The street's name; may hold number and unit as well.
    pub street: String,
    /// Flat, suite, floor, building.
    pub unit: String,
    pub locality: String,
    pub postcode: String,
    pub region: String,
    pub country: String,
}

/// A number given by someone who gives each person one: social security, passport, licence, customer number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identifier {
    /// Who gave it, such as `ssn` or `passport:us`. Values are compared within one namespace alone.
    pub namespace: String,
    pub value: String,
    /// Nobody has two, and the source has seen proof: two different ones are two people.
    pub verified_unique: bool,
}
