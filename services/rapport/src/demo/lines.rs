//! The four files of the demo, and how their lines are mapped.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, anyhow};
use serde_json::Value;
use terms::Timestamp;

use crate::import::{
    mapping::Mapping,
    source,
    template::{Row, time},
};

/// Households become customers; their demographics become traits.
pub const HOUSEHOLDS: &str = r#"
becomes = "customer"
source = "complete-journey"
key = "household-{household_id}"
kind = "household"
identifiers = [{ namespace = "household", value = "{household_id}", verified = true }]
observed_at = "2017-01-01"
[traits]
age = "{age}"
income = "{income}"
home_ownership = "{home_ownership}"
marital_status = "{marital_status}"
household_size = "{household_size}"
household_composition = "{household_comp}"
kids_count = "{kids_count}"
"#;

/// Baskets become purchases; those with a coupon were incentivised.
pub const BASKETS: &str = r#"
becomes = "interaction"
source = "complete-journey"
key = "basket-{basket_id}"
customer = { namespace = "household", value = "{household_id}" }
type = "purchase"
channel = "store"
touchpoint = "store-{store_id}"
occurred_at = "{at}"
inducement = "{coupon}"
value = { amount = "{value}", currency = "USD" }
[properties]
departments = { value = "{departments}", type = "list" }
"#;

/// Campaigns become what we sent.
pub const CAMPAIGNS: &str = r#"
becomes = "interaction"
source = "complete-journey"
key = "mailing-{campaign_id}-{household_id}"
customer = { namespace = "household", value = "{household_id}" }
type = "campaign.sent"
channel = "mail"
touchpoint = "mailer"
direction = "outbound"
occurred_at = "{at}"
inducement = "campaign-{campaign_id}"
[properties]
campaign = "{campaign_id}"
"#;

/// Redemptions become what came of it.
pub const REDEMPTIONS: &str = r#"
becomes = "interaction"
source = "complete-journey"
key = "redemption-{number}"
customer = { namespace = "household", value = "{household_id}" }
type = "coupon.redeemed"
channel = "store"
occurred_at = "{date}"
inducement = "campaign-{campaign_id}"
[properties]
campaign = "{campaign_id}"
coupon = "{coupon_upc}"
"#;

/// The last basket of the data.
const LAST: &str = "2018-01-01 03:47:38";
/// The first day of the data.
const FIRST: &str = "2017-01-01";

/// The demo's lines, and by how many days they are moved so that the year ends now.
pub struct Demo {
    /// One line a household; those without demographics have their id alone.
    pub households: Vec<Row>,
    /// One line a basket.
    pub baskets: Vec<Row>,
    /// One line a household and campaign.
    pub mailings: Vec<Row>,
    /// One line a coupon that was redeemed.
    pub redemptions: Vec<Row>,
    /// By how many days every time is moved.
    pub shift_days: i64,
}

impl Demo {
    /// Unpacks the files, for a history that ends within the day before `now`.
    ///
    /// # Errors
    /// When a file is not what it was when this was built.
    pub fn read(now: Timestamp) -> Result<Self> {
        let last = time("at", LAST).map_err(|e| anyhow!("{e}"))?;
        let shift_days = (now.micros() - last.micros()).div_euclid(86_400_000_000);
        let mut baskets = rows(include_bytes!("../../demo/baskets.csv.gz"))?;
        for row in &mut baskets {
            let coupon = text(row, "coupon_discount").and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0);
            row.insert("coupon".to_owned(), Value::from(if coupon > 0.0 { "coupon" } else { "" }));
        }
        let mut redemptions = rows(include_bytes!("../../demo/redemptions.csv.gz"))?;
        for (row, number) in redemptions.iter_mut().zip(1..) {
            row.insert("number".to_owned(), Value::from(number));
        }
        let mut mailings = rows(include_bytes!("../../demo/campaigns.csv.gz"))?;
        date_mailings(&mut mailings, &redemptions);
        let mut households = rows(include_bytes!("../../demo/households.csv.gz"))?;
        let described = super::ids(&households);
        let named = super::ids(baskets.iter().chain(&mailings).chain(&redemptions));
        for id in named.difference(&described) {
            households.push(Row::from_iter([("household_id".to_owned(), Value::from(id.as_str()))]));
        }
        Ok(Self { households, baskets, mailings, redemptions, shift_days })
    }

    /// Every household.
    pub fn ids(&self) -> BTreeSet<String> {
        super::ids(&self.households)
    }

    /// The first day, moved.
    pub fn begins(&self) -> Timestamp {
        self.moved(time("at", FIRST).unwrap_or(Timestamp::EPOCH))
    }

    /// The time in a column, moved.
    pub fn time(&self, row: &Row, column: &str) -> Option<Timestamp> {
        text(row, column).and_then(|text| time(column, text).ok()).map(|at| self.moved(at))
    }

    fn moved(&self, at: Timestamp) -> Timestamp {
        Timestamp(at.micros() + self.shift_days * 86_400_000_000)
    }
}

/// The files do not say when a campaign went out: it is taken to be the day before its first coupon came back, or the
/// first day of the data.
fn date_mailings(mailings: &mut [Row], redemptions: &[Row]) {
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    for row in redemptions {
        if let (Some(campaign), Some(date)) = (text(row, "campaign_id"), text(row, "date")) {
            let known = first.entry(campaign).or_insert(date);
            *known = date.min(*known);
        }
    }
    for row in mailings {
        let day = text(row, "campaign_id").and_then(|campaign| first.get(campaign).copied());
        let at = day.and_then(|day| time("date", day).ok()).map(|at| at.micros() / 1_000_000 - 86_400);
        row.insert("at".to_owned(), at.map_or_else(|| Value::from(FIRST), Value::from));
    }
}

/// The mapping of a kind of lines.
///
/// # Errors
/// Never for the mappings of this file.
pub fn mapping(text: &str, shift_days: i64) -> Result<Mapping> {
    let mut mapping: Mapping = toml::from_str(text).context("a mapping of the demo")?;
    mapping.shift_days = shift_days;
    Ok(mapping)
}

/// The text in a column.
pub fn text<'a>(row: &'a Row, column: &str) -> Option<&'a str> {
    row.get(column).and_then(Value::as_str)
}

fn rows(packed: &'static [u8]) -> Result<Vec<Row>> {
    source::packed_csv(packed)?.collect::<Result<_, _>>().map_err(|why| anyhow!("a line of the demo {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::mapping::Becomes;

    #[test]
    fn every_line_fits_its_mapping_and_lies_in_the_past_year() {
        let now = time("now", "2026-11-22 12:00:00").unwrap();
        let demo = Demo::read(now).unwrap();
        assert_eq!(demo.baskets.len(), 47_243);
        assert_eq!(demo.redemptions.len(), 2_102);
        assert_eq!(demo.mailings.len(), 6_589);
        let year_ago = Timestamp(now.micros() - 368 * 86_400_000_000);
        for (text, rows) in [(BASKETS, &demo.baskets), (CAMPAIGNS, &demo.mailings), (REDEMPTIONS, &demo.redemptions)] {
            let mapping = mapping(text, demo.shift_days).unwrap();
            let Becomes::Interaction(fields) = &mapping.becomes else { panic!("{text}") };
            let mut ids = BTreeSet::new();
            for row in rows {
                let made = mapping.interaction(fields, row).unwrap();
                let at = made.occurred_at.unwrap();
                let at = Timestamp::from_parts(at.seconds, at.nanos).unwrap();
                assert!(at > year_ago && at <= now, "{row:?}");
                assert!(ids.insert(made.interaction_id), "{row:?}");
            }
        }
        let mapping = mapping(HOUSEHOLDS, demo.shift_days).unwrap();
        let Becomes::Customer(fields) = &mapping.becomes else { panic!() };
        assert!(demo.households.iter().all(|row| mapping.customer(fields, row).is_ok()));
        assert_eq!(demo.ids().len(), demo.households.len());
    }
}
