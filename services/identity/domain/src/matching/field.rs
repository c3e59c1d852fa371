//! Which trait says what: the names under which sources give names, dates, addresses and contacts.
//!
//! Names are compared without case, `_`, `-` and `.`: `first_name`, `firstName` and `name.first` are read alike where
//! the table has them. Parts of an address may stand behind `home`, `billing`, `shipping`, `mailing`, `postal` or
//! `work`: each is an address of its own.

use std::{collections::HashMap, sync::LazyLock};

/// What a trait says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// The whole name, in one text or in parts.
    Name,
    /// The first given name, or all of them.
    GivenName,
    /// Further given names.
    MiddleName,
    /// The family name.
    FamilyName,
    /// A family name of former times.
    FormerName,
    /// `Jr`, `Senior`, `III`.
    Suffix,
    /// When they were born.
    BirthDate,
    /// Whether the source has seen proof of the birth date.
    BirthDateVerified,
    /// An e-mail address.
    Email,
    /// A phone number.
    Phone,
    /// A part of an address, or all of it.
    Address(Part),
    /// Female, male, another.
    Gender,
    /// A company, an authority, an association: the party itself or where the person works.
    Organisation,
    /// A number that someone gave them; the name by which it is compared.
    Number(&'static str),
    /// Something else that is compared as text; the name by which it is compared.
    Other(&'static str),
}

/// A part of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// All of it, in one text or in parts.
    Whole,
    /// The number of the house.
    Number,
    /// The street, perhaps with the number.
    Street,
    /// Flat, suite, floor.
    Unit,
    /// City, town, village.
    Locality,
    /// Postcode.
    Postcode,
    /// State, province, county.
    Region,
    /// Country.
    Country,
}

const FIELDS: &[(Field, &[&str])] = &[
    (Field::Name, &["name", "fullname", "personname", "customername", "displayname", "names"]),
    (Field::GivenName, &["firstname", "givenname", "givennames", "forename", "fname", "namefirst", "namegiven"]),
    (Field::MiddleName, &["middlename", "middlenames", "middleinitial", "secondname", "mname", "namemiddle"]),
    (Field::FamilyName, &["lastname", "familyname", "surname", "lname", "namelast", "namefamily"]),
    (Field::FormerName, &["maidenname", "birthname", "formername", "previousname", "neename"]),
    (Field::Suffix, &["suffix", "namesuffix", "generation", "generationalsuffix"]),
    (Field::BirthDate, &["birthdate", "dateofbirth", "dob", "birthday", "born", "bday"]),
    (Field::BirthDateVerified, &["birthdateverified", "dateofbirthverified", "dobverified"]),
    (Field::Email, &["email", "emails", "emailaddress", "mail", "mailaddress", "workemail", "homeemail"]),
    (
        Field::Phone,
        &[
            "phone",
            "phones",
            "phonenumber",
            "phonenumbers",
            "mobile",
            "mobilephone",
            "mobilenumber",
            "telephone",
            "telephonenumber",
            "tel",
            "cell",
            "cellphone",
            "homephone",
            "workphone",
            "landline",
        ],
    ),
    (Field::Gender, &["gender", "sex"]),
    (
        Field::Organisation,
        &[
            "organization",
            "organisation",
            "organizationname",
            "organisationname",
            "company",
            "companyname",
            "businessname",
            "legalname",
            "tradename",
        ],
    ),
    (Field::Number("ssn"), &["ssn", "socialsecuritynumber", "socialsecurityno", "socsecid"]),
    (Field::Number("passport"), &["passport", "passportnumber", "passportno"]),
    (
        Field::Number("licence"),
        &["driverslicense", "driverslicence", "drivinglicense", "drivinglicence", "licensenumber"],
    ),
    (Field::Number("tax"), &["taxid", "taxnumber", "tin", "vat", "vatid", "vatnumber"]),
    (Field::Number("national"), &["nationalid", "nationalidnumber", "idcardnumber", "personalnumber"]),
    (Field::Number("register"), &["companynumber", "registrationnumber", "lei", "duns"]),
    (Field::Other("employer"), &["employer", "employername"]),
    (Field::Other("birth place"), &["birthplace", "placeofbirth", "cityofbirth"]),
];

const PARTS: &[(Part, &[&str])] = &[
    (Part::Whole, &["address", "addresses", "fulladdress", "formattedaddress", "residence"]),
    (Part::Number, &["housenumber", "houseno", "streetnumber", "streetno", "addressnumber"]),
    (
        Part::Street,
        &[
            "street",
            "streetname",
            "streetaddress",
            "addressline1",
            "addressline",
            "address1",
            "line1",
            "addressstreet",
            "addr1",
        ],
    ),
    (Part::Unit, &["addressline2", "address2", "line2", "unit", "apartment", "apt", "flat", "suite", "addr2"]),
    (Part::Locality, &["city", "locality", "town", "suburb", "municipality", "village", "addresscity", "postaltown"]),
    (
        Part::Postcode,
        &["postcode", "postalcode", "zip", "zipcode", "plz", "addresspostcode", "addresspostalcode", "addresszip"],
    ),
    (Part::Region, &["state", "region", "province", "county", "stateprovince", "addressstate", "addressregion"]),
    (Part::Country, &["country", "countrycode", "countryname", "addresscountry"]),
];

/// What may stand before a part of an address.
const PLACES: [&str; 6] = ["home", "billing", "shipping", "mailing", "postal", "work"];

static BY_NAME: LazyLock<HashMap<&'static str, Field>> = LazyLock::new(|| {
    let fields = FIELDS.iter().flat_map(|(field, names)| names.iter().map(|name| (*name, *field)));
    let parts = PARTS.iter().flat_map(|(part, names)| names.iter().map(|name| (*name, Field::Address(*part))));
    fields.chain(parts).collect()
});

/// What the trait `name` says, and which of several addresses it speaks of; `None`: nothing that is compared.
pub fn field(name: &str) -> Option<(Field, Option<&'static str>)> {
    let plain: String =
        name.chars().filter(|c| !matches!(c, '_' | '-' | '.')).map(|c| c.to_ascii_lowercase()).collect();
    if let Some(field) = BY_NAME.get(plain.as_str()) {
        return Some((*field, None));
    }
    PLACES.into_iter().find_map(|place| {
        let field = *BY_NAME.get(plain.strip_prefix(place)?)?;
        matches!(field, Field::Address(_)).then_some((field, Some(place)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_however_they_are_written() {
        for (names, expected) in [
            (["first_name", "firstName", "FIRST-NAME"], Field::GivenName),
            (["dob", "date_of_birth", "birthDate"], Field::BirthDate),
            (["zip", "postal_code", "address.postcode"], Field::Address(Part::Postcode)),
        ] {
            for name in names {
                assert_eq!(field(name), Some((expected, None)), "{name}");
            }
        }
        assert_eq!(field("billing_city"), Some((Field::Address(Part::Locality), Some("billing"))));
        assert_eq!(field("home_first_name"), None, "there is one name");
        assert_eq!(field("favourite_colour"), None);
    }

    #[test]
    fn no_name_says_two_things() {
        let count = FIELDS.iter().map(|(_, names)| names.len()).sum::<usize>();
        let count = count + PARTS.iter().map(|(_, names)| names.len()).sum::<usize>();
        assert_eq!(BY_NAME.len(), count);
    }
}
