//! Customers whom the matcher joined because they resemble each other, and parts when one of their records says
//! something else: as if they had never been one, in all four services.
//!
//! As in [`splits`](crate::splits), two couples live through the same. Of one couple somebody resembles the other for a
//! while, in the other couple they never do; then both read alike.

use anyhow::{Context, Result, ensure};
use it::{app::by, suite::Shape};
use rapport_proto::identity::v1::IdentifyResponse;
use serde_json::{Value, json};

use crate::town::{Town, alike};

const SIDES: [&str; 2] = ["left", "right"];

in_both_shapes!(who_leaves_was_never_there, who_is_left_was_never_there, who_joined_late_leaves);

/// How a couple comes to be one for a while.
struct Story {
    name: &'static str,
    /// Who turns out to be somebody else.
    leaver: &'static str,
    /// Whether the two live apart before they resemble each other.
    late: bool,
}

async fn who_leaves_was_never_there(shape: Shape) {
    let story = Story { name: "leaves", leaver: "right", late: false };
    story.tell(shape).await.expect("both couples read alike");
}

/// It is the older record, under whose id both were known, that says something else.
async fn who_is_left_was_never_there(shape: Shape) {
    let story = Story { name: "left", leaver: "left", late: false };
    story.tell(shape).await.expect("both couples read alike");
}

async fn who_joined_late_leaves(shape: Shape) {
    let story = Story { name: "late", leaver: "right", late: true };
    story.tell(shape).await.expect("both couples read alike");
}

/// What the records of the two say while they are taken for one.
fn jane(side: &str) -> Value {
    let (name, address) = match side {
        "left" => ("Jane Kowalski", "12 Elm Street, Springfield"),
        _ => ("Jane Kowalsky", "12 Elm St, Springfield"),
    };
    json!({ "name": name, "birth_date": "1970-03-01", "address": address })
}

/// What the leaver's record says in the end.
fn wilhelmina() -> Value {
    json!({ "name": "Wilhelmina Oberholzer", "birth_date": "1941-11-23", "address": "3 Birch Lane, Ghent" })
}

impl Story {
    async fn tell(&self, shape: Shape) -> Result<()> {
        let mut told = Town::new(shape, &format!("{}-told", self.name)).await?;
        let mut plain = Town::new(shape, &format!("{}-plain", self.name)).await?;
        self.begin(&mut plain, |side| if side == self.leaver { wilhelmina() } else { jane(side) }).await?;
        if self.late {
            self.begin(&mut told, |side| if side == self.leaver { json!({}) } else { jane(side) }).await?;
            for couple in [&mut told, &mut plain] {
                couple.live(0).await?;
            }
            let joined = told.tell(self.leaver, &[], jane(self.leaver)).await?;
            ensure!(joined.merged.len() == 1, "{joined:?}");
        } else {
            self.begin(&mut told, jane).await?;
        }
        self.is_one(&told).await?;
        for couple in [&mut told, &mut plain] {
            couple.live(1).await?;
            couple.card("right").await?;
        }
        let all = if self.late { 9 } else { 5 };
        for side in SIDES {
            ensure!(told.purchases(by(side, side), told.id("left")).await? == all, "one customer");
        }
        ensure!(told.app.member(by("right", "right"), "regulars", &told.seen.token()).await?, "counters add up");
        for couple in [&mut told, &mut plain] {
            let changed = couple.tell(self.leaver, &[], wilhelmina()).await?;
            ensure!(changed.customer_id == couple.id(self.leaver), "the leaver has an own id: {changed:?}");
            ensure!(changed.merged.is_empty() && !changed.created, "{changed:?}");
            couple.live(2).await?;
        }
        alike(&told, &plain).await
    }

    /// Tells the first record of each side.
    async fn begin(&self, couple: &mut Town, says: impl Fn(&str) -> Value) -> Result<()> {
        for side in SIDES {
            let reply = couple.tell(side, &[], says(side)).await?;
            let id = own_id(couple, side, &reply).await?;
            couple.is(side, &id);
        }
        ensure!(couple.id("left") != couple.id("right"), "each has an id, if only as an alias");
        Ok(())
    }

    /// Whether the two are one now, under the id of the older.
    async fn is_one(&self, couple: &Town) -> Result<()> {
        for side in SIDES {
            let known =
                couple.app.customer(by(side, side), &couple.seen.token()).await?.customer.context("somebody")?;
            ensure!(known.customer_id == couple.id("left"), "{known:?}");
            ensure!(known.aliases == [couple.id("right")] && known.confidence < 1.0, "{known:?}");
        }
        Ok(())
    }
}

/// The id at which the record of a side arrived: that of its customer, or the alias if it was joined at once.
async fn own_id(couple: &Town, side: &str, reply: &IdentifyResponse) -> Result<String> {
    let known = couple.app.customer(by(side, side), &reply.revision).await?.customer.context("somebody")?;
    ensure!(known.customer_id == reply.customer_id && known.aliases.len() <= 1, "{known:?}");
    Ok(known.aliases.into_iter().next().unwrap_or(known.customer_id))
}
