//! The mapping file: what a line becomes.
//!
//! ```toml
//! becomes = "customer"                  # or "interaction", "statement"
//! source = "crm"                        # where the lines come from
//! key = "{id}"                          # what makes a line the same when it comes again
//! identifiers = [{ namespace = "email", value = "{email}", verified = true }]
//! observed_at = "{updated}"
//! [traits]
//! city = "{address.city}"
//! age = { value = "{age}", type = "number" }   # text, number, bool, list (between |)
//! ```
//!
//! An interaction names its customer instead, and says what happened:
//!
//! ```toml
//! becomes = "interaction"
//! source = "till"
//! key = "{basket_id}"
//! customer = { namespace = "household", value = "{household_id}" }
//! type = "purchase"
//! channel = "store"
//! occurred_at = "{at}"
//! inducement = "{coupon}"               # not empty: incentivised; else organic
//! value = { amount = "{value}", currency = "USD" }
//! [properties]
//! departments = { value = "{departments}", type = "list" }
//! ```

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result};
use rapport_proto::{
    google::r#type::Money,
    identity::v1::{IdentifierClaim, IdentifyRequest},
    interaction::v1::{InteractionInput, RecordStatementRequest, StatementInput},
    r#type::v1::{
        CustomerKind, CustomerRef, Identifier, InteractionDirection, InteractionDirectness, Motivation, StatementKind,
        customer_ref::Ref,
    },
};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use terms::{Id, Timestamp, id};

use super::{
    template::{Row, Template, Typed, Unfit, time},
    value::{object, prost_time, prost_value},
};

/// A mapping file.
#[derive(Debug, Clone, Deserialize)]
pub struct Mapping {
    /// Where the lines come from.
    pub source: String,
    /// What makes a line the same when it comes again.
    pub key: Template,
    /// Moves every time of the input by so many days. For histories that should end today.
    #[serde(default)]
    pub shift_days: i64,
    /// What a line becomes.
    #[serde(flatten)]
    pub becomes: Becomes,
}

/// What a line becomes.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "becomes", rename_all = "lowercase")]
pub enum Becomes {
    /// `Identify`.
    Customer(CustomerMapping),
    /// `RecordInteractions`.
    Interaction(Box<InteractionMapping>),
    /// `RecordStatement`.
    Statement(StatementMapping),
}

/// A customer's line.
#[derive(Debug, Clone, Deserialize)]
pub struct CustomerMapping {
    /// `person`, `household` or `organization`.
    #[serde(default)]
    pub kind: Kind,
    /// What points at the customer. Those that are empty on a line are left out.
    pub identifiers: Vec<IdentifierMapping>,
    /// When this was so.
    pub observed_at: Option<Template>,
    /// What is known.
    #[serde(default)]
    pub traits: BTreeMap<String, Typed>,
}

/// The kind of a customer.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One human being.
    #[default]
    Person,
    /// Who lives together.
    Household,
    /// A company, an authority, a club.
    Organization,
}

/// An identifier's namespace and value.
#[derive(Debug, Clone, Deserialize)]
pub struct IdentifierMapping {
    /// The namespace.
    pub namespace: String,
    /// The value.
    pub value: Template,
    /// Whether the source checked it.
    #[serde(default)]
    pub verified: bool,
}

/// An interaction's line.
#[derive(Debug, Clone, Deserialize)]
pub struct InteractionMapping {
    /// Whose.
    pub customer: IdentifierMapping,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: Template,
    /// By which channel.
    pub channel: Option<Template>,
    /// At which touchpoint.
    pub touchpoint: Option<Template>,
    /// Who began.
    #[serde(default)]
    pub direction: Direction,
    /// Whether with us, or about us.
    #[serde(default)]
    pub directness: Directness,
    /// What it was bought with; not empty makes it incentivised.
    pub inducement: Option<Template>,
    /// When.
    pub occurred_at: Template,
    /// How much money.
    pub value: Option<MoneyMapping>,
    /// What else.
    #[serde(default)]
    pub properties: BTreeMap<String, Typed>,
    /// What the customer told us in it.
    #[serde(default)]
    pub statements: Vec<StatementFields>,
}

/// Who began.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The customer.
    #[default]
    Inbound,
    /// We.
    Outbound,
}

/// Whether with us, or about us.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Directness {
    /// Between the customer and us.
    #[default]
    Direct,
    /// Elsewhere.
    Indirect,
}

/// An amount.
#[derive(Debug, Clone, Deserialize)]
pub struct MoneyMapping {
    /// Decimal, as in `12.99`.
    pub amount: Template,
    /// ISO 4217, as in `EUR`.
    pub currency: Template,
}

/// A statement's line.
#[derive(Debug, Clone, Deserialize)]
pub struct StatementMapping {
    /// Whose.
    pub customer: IdentifierMapping,
    /// What was said.
    #[serde(flatten)]
    pub statement: StatementFields,
}

/// What was said.
#[derive(Debug, Clone, Deserialize)]
pub struct StatementFields {
    /// About what; a line where it is empty says nothing.
    pub topic: Template,
    /// What of it. Without: true.
    pub value: Option<Typed>,
    /// `fact`, `preference`, `need`, `complaint`, `praise`, `intent` or `boundary`.
    pub kind: Template,
    /// In the customer's words.
    pub utterance: Option<Template>,
    /// When.
    pub occurred_at: Option<Template>,
}

impl Mapping {
    /// Reads a mapping file.
    ///
    /// # Errors
    /// When it cannot be read, or says something that is not understood.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is no mapping", path.display()))
    }

    /// What the lines are, for people.
    pub fn noun(&self) -> &'static str {
        match self.becomes {
            Becomes::Customer(_) => "customers",
            Becomes::Interaction(_) => "interactions",
            Becomes::Statement(_) => "statements",
        }
    }

    fn key(&self, row: &Row) -> Result<String, Unfit> {
        let key = self.key.text(row);
        if key.is_empty() { Err(unfit("key", "is empty; each line needs one")) } else { Ok(key) }
    }

    fn moved(&self, at: Timestamp) -> Timestamp {
        Timestamp(at.micros().saturating_add(self.shift_days.saturating_mul(86_400_000_000)))
    }

    fn time(&self, field: &str, template: Option<&Template>, row: &Row) -> Result<Option<Timestamp>, Unfit> {
        match template.map(|t| t.text(row)).filter(|text| !text.is_empty()) {
            None => Ok(None),
            Some(text) => Ok(Some(self.moved(time(field, &text)?))),
        }
    }

    /// The request of a customer's line.
    ///
    /// # Errors
    /// When a field of the line does not fit.
    pub fn customer(&self, fields: &CustomerMapping, row: &Row) -> Result<IdentifyRequest, Unfit> {
        let identifiers = fields.identifiers.iter().filter_map(|m| {
            let identifier = m.identifier(row)?;
            Some(IdentifierClaim { identifier: Some(identifier), verified: m.verified.then_some(true) })
        });
        Ok(IdentifyRequest {
            source: self.source.clone(),
            source_record_id: self.key(row)?,
            identifiers: identifiers.collect(),
            traits: object("traits", &fields.traits, row)?,
            observed_at: self.time("observed_at", fields.observed_at.as_ref(), row)?.map(prost_time),
            kind: match fields.kind {
                Kind::Person => CustomerKind::Person,
                Kind::Household => CustomerKind::Household,
                Kind::Organization => CustomerKind::Organization,
            }
            .into(),
            ..IdentifyRequest::default()
        })
    }

    /// The request of an interaction's line. Its id is made of its source and key, so that it is sent once.
    ///
    /// # Errors
    /// When a field of the line does not fit.
    pub fn interaction(&self, fields: &InteractionMapping, row: &Row) -> Result<InteractionInput, Unfit> {
        let key = self.key(row)?;
        let at = self
            .time("occurred_at", Some(&fields.occurred_at), row)?
            .ok_or_else(|| unfit("occurred_at", "is empty; say when it happened"))?;
        let text = |template: &Option<Template>| template.as_ref().map_or_else(String::new, |t| t.text(row));
        let inducement = text(&fields.inducement);
        let statements = fields.statements.iter().filter_map(|s| self.said(s, row).transpose());
        Ok(InteractionInput {
            interaction_id: derived_id::<id::Interaction>(at, &self.source, &key).to_string(),
            customer: Some(fields.customer.reference(row)?),
            r#type: fields.kind.text(row),
            channel: text(&fields.channel),
            touchpoint: text(&fields.touchpoint),
            direction: match fields.direction {
                Direction::Inbound => InteractionDirection::Inbound,
                Direction::Outbound => InteractionDirection::Outbound,
            }
            .into(),
            directness: match fields.directness {
                Directness::Direct => InteractionDirectness::Direct,
                Directness::Indirect => InteractionDirectness::Indirect,
            }
            .into(),
            motivation: if inducement.is_empty() { Motivation::Organic } else { Motivation::Incentivised }.into(),
            inducement,
            occurred_at: Some(prost_time(at)),
            properties: object("properties", &fields.properties, row)?,
            value: fields.value.as_ref().map(|m| m.money(row)).transpose()?.flatten(),
            statements: statements.collect::<Result<_, _>>()?,
            source: self.source.clone(),
            ..InteractionInput::default()
        })
    }

    /// The request of a statement's line.
    ///
    /// # Errors
    /// When a field of the line does not fit.
    pub fn statement(&self, fields: &StatementMapping, row: &Row) -> Result<RecordStatementRequest, Unfit> {
        let key = self.key(row)?;
        let said = self.said(&fields.statement, row)?.ok_or_else(|| unfit("topic", "is empty"))?;
        Ok(RecordStatementRequest {
            customer: Some(fields.customer.reference(row)?),
            statement: Some(said),
            source: self.source.clone(),
            request_id: format!("import:{}", derived_id::<id::Statement>(Timestamp::EPOCH, &self.source, &key)),
            ..RecordStatementRequest::default()
        })
    }

    fn said(&self, fields: &StatementFields, row: &Row) -> Result<Option<StatementInput>, Unfit> {
        let topic = fields.topic.text(row);
        if topic.is_empty() {
            return Ok(None);
        }
        let name = format!("STATEMENT_KIND_{}", fields.kind.text(row).to_ascii_uppercase());
        let kind = StatementKind::from_str_name(&name).ok_or_else(|| unfit("kind", "is no kind of statement"))?;
        let value = fields.value.as_ref().map(|v| v.value("value", row)).transpose()?.flatten();
        Ok(Some(StatementInput {
            topic,
            value: Some(prost_value(value.unwrap_or(serde_json::Value::Bool(true)))),
            kind: kind.into(),
            utterance: fields.utterance.as_ref().map_or_else(String::new, |t| t.text(row)),
            occurred_at: self.time("occurred_at", fields.occurred_at.as_ref(), row)?.map(prost_time),
            ..StatementInput::default()
        }))
    }
}

impl IdentifierMapping {
    fn identifier(&self, row: &Row) -> Option<Identifier> {
        let value = self.value.text(row);
        (!value.is_empty()).then(|| Identifier { namespace: self.namespace.clone(), value })
    }

    fn reference(&self, row: &Row) -> Result<CustomerRef, Unfit> {
        let identifier = self.identifier(row).ok_or_else(|| unfit("customer", "is empty; say whose it is"))?;
        Ok(CustomerRef { r#ref: Some(Ref::Identifier(identifier)) })
    }
}

impl MoneyMapping {
    fn money(&self, row: &Row) -> Result<Option<Money>, Unfit> {
        let text = self.amount.text(row);
        if text.is_empty() {
            return Ok(None);
        }
        let wrong = || unfit("value.amount", "is not an amount like 12.99");
        let (sign, digits) = text.strip_prefix('-').map_or((1, text.as_str()), |rest| (-1, rest));
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        let number =
            |text: &str| -> Option<i64> { text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())? };
        let units = number(whole).ok_or_else(wrong)?;
        let nanos = number(&format!("{part:0<9}")).filter(|_| part.len() <= 9).ok_or_else(wrong)?;
        Ok(Some(Money {
            currency_code: self.currency.text(row),
            units: sign * units,
            nanos: i32::try_from(sign * nanos).map_err(|_| wrong())?,
        }))
    }
}

fn unfit(field: &str, why: &str) -> Unfit {
    Unfit { field: field.to_owned(), why: why.to_owned() }
}

/// The same id for the same source and key: UUIDv7 whose random bits are their SHA-256.
fn derived_id<K: terms::IdKind>(at: Timestamp, source: &str, key: &str) -> Id<K> {
    let hash = Sha256::new().chain_update(source.as_bytes()).chain_update([0]).chain_update(key.as_bytes()).finalize();
    let mut random = [0u8; 10];
    random.copy_from_slice(&hash[..10]);
    let millis = u64::try_from(at.micros() / 1_000).unwrap_or(0);
    Id::from_uuid(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(json: &str) -> Row {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_basket() {
        let mapping: Mapping = toml::from_str(
            r#"
            becomes = "interaction"
            source = "till"
            key = "{id}"
            shift_days = 1
            customer = { namespace = "card", value = "{card}" }
            type = "purchase"
            channel = "store"
            occurred_at = "{at}"
            inducement = "{coupon}"
            value = { amount = "{value}", currency = "USD" }
            properties = { departments = { value = "{deps}", type = "list" } }
            "#,
        )
        .unwrap();
        let Becomes::Interaction(fields) = &mapping.becomes else { panic!("{:?}", mapping.becomes) };
        let line =
            row(r#"{"id": "7", "card": "c", "at": "2017-01-01", "coupon": "", "value": "-3.05", "deps": "meat|deli"}"#);
        let made = mapping.interaction(fields, &line).unwrap();
        assert_eq!(made.motivation(), Motivation::Organic);
        assert_eq!(made.value, Some(Money { currency_code: "USD".to_owned(), units: -3, nanos: -50_000_000 }));
        assert_eq!(made.occurred_at.unwrap().seconds, 1_483_315_200);
        assert_eq!(made, mapping.interaction(fields, &line).unwrap(), "the same line, the same id");
        assert!(mapping.interaction(fields, &row(r#"{"id": "7", "at": "2017-01-01"}"#)).is_err(), "no customer");
    }

    #[test]
    fn amounts() {
        let money = |text: &str| {
            let mapping = MoneyMapping {
                amount: Template::try_from(text.to_owned()).unwrap(),
                currency: Template::try_from("USD".to_owned()).unwrap(),
            };
            mapping.money(&Row::new()).map(|m| m.map(|m| (m.units, m.nanos)))
        };
        assert_eq!(money("12"), Ok(Some((12, 0))));
        assert_eq!(money("0.000000001"), Ok(Some((0, 1))));
        assert_eq!(money(""), Ok(None));
        for wrong in ["1,5", ".5", "1.0000000001", "--1", "1e3", "99999999999999999999"] {
            assert!(money(wrong).is_err(), "{wrong}");
        }
    }
}
