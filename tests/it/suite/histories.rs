//! Random histories of all four services: merge, then split, is as if nothing had happened, whatever came in between.
//!
//! Each history is told in two towns. In one of them some people are merged by hand, in the middle, and split again by
//! the end; in the other they are left alone; then both read alike. Identity alone has a thousand such histories, of
//! records that join each other too; in these a record is of one person, and everything happens to everybody.

use std::ops::Range;

use anyhow::{Context, Result};
use futures::{StreamExt, stream};
use it::{
    app::{by, by_id},
    suite::Shape,
};
use rapport_proto::{
    identity::v1::{MergeCustomersRequest, SplitCustomerRequest},
    interaction::v1::RetractStatementRequest,
    r#type::v1::CustomerRef,
};
use serde_json::json;

use crate::town::{Town, alike};

const HISTORIES: u64 = 24;
const NAMES: [&str; 4] = ["ann", "bob", "cid", "dan"];
const STEPS: u64 = 24;
/// When people are merged, and when they are split; what is still merged then is split at the end.
const MERGING: Range<u64> = 5..14;
const SPLITTING: Range<u64> = 9..STEPS;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merge_then_split_is_as_if_nothing_had_happened() {
    stream::iter(0..HISTORIES)
        .for_each_concurrent(4, |seed| async move {
            twins(seed).await.with_context(|| format!("history {seed}")).expect("both towns read alike");
        })
        .await;
}

async fn twins(seed: u64) -> Result<()> {
    let (told, plain) = futures::try_join!(Story::tell(seed, true), Story::tell(seed, false))?;
    alike(&told, &plain).await
}

/// SplitMix64 (Steele, Lea and Flood 2014): the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    fn one_of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// A history as it is told in one of the towns.
struct Story {
    dice: Dice,
    town: Town,
    /// Whether anybody is merged.
    merges: bool,
    /// Cards that were seen, each with a namespace of its own.
    cards: Vec<String>,
    /// Statements that were not taken back.
    said: Vec<String>,
    /// Ids that were merged away.
    merged: Vec<String>,
}

impl Story {
    async fn tell(seed: u64, merges: bool) -> Result<Town> {
        let town = Town::new(Shape::One, &format!("history-{seed}")).await?;
        let mut story =
            Self { dice: Dice(seed), town, merges, cards: Vec::new(), said: Vec::new(), merged: Vec::new() };
        let names = &NAMES[..2 + story.dice.below(3)];
        for name in names {
            let city = *story.dice.one_of(&["Rome", "Bonn"]);
            let id = story.town.tell(name, &[], json!({ "city": city })).await?.customer_id;
            story.town.is(name, &id);
        }
        for step in 0..STEPS {
            if MERGING.contains(&step) && story.dice.below(3) == 0 {
                story.merge(names).await?;
            }
            if SPLITTING.contains(&step) && story.dice.below(4) == 0 {
                story.split().await?;
            }
            story.act(names, step).await.with_context(|| format!("step {step}"))?;
        }
        while !story.merged.is_empty() {
            story.split().await?;
        }
        Ok(story.town)
    }

    /// Merges those whom two names mean now.
    async fn merge(&mut self, names: &[&str]) -> Result<()> {
        let (survivor, loser) = (*self.dice.one_of(names), *self.dice.one_of(names));
        if !self.merges {
            return Ok(());
        }
        let (survivor, loser) = (self.meant(survivor).await?, self.meant(loser).await?);
        if survivor == loser {
            return Ok(());
        }
        let merge = MergeCustomersRequest {
            survivor: Some(by_id(&survivor)),
            losers: vec![by_id(&loser)],
            reason: "a test".to_owned(),
            // Who was split is not merged again without.
            override_guards: true,
            ..MergeCustomersRequest::default()
        };
        let merged = self.town.app.identity().merge_customers(merge).await?.into_inner();
        self.merged.push(loser);
        self.town.seen.note(&merged.revision)
    }

    async fn meant(&self, name: &str) -> Result<String> {
        let known = self.town.app.customer(by(name, name), &self.town.seen.token()).await?;
        Ok(known.customer.context("somebody")?.customer_id)
    }

    /// Undoes one of the merges, in any order.
    async fn split(&mut self) -> Result<()> {
        let which = self.dice.below(6);
        if self.merged.is_empty() {
            return Ok(());
        }
        let alias = self.merged.swap_remove(which % self.merged.len());
        let split = SplitCustomerRequest {
            customer: Some(by_id(&alias)),
            alias,
            reason: "a test".to_owned(),
            ..SplitCustomerRequest::default()
        };
        let split = self.town.app.identity().split_customer(split).await?.into_inner();
        self.town.seen.note(&split.revision)
    }

    /// Somebody, by id, name or card.
    fn somebody(&mut self, name: &str) -> CustomerRef {
        let [id, identifier] = self.town.refs(name);
        let of_theirs = format!("{name}-card");
        let cards: Vec<&String> = self.cards.iter().filter(|card| card.starts_with(&of_theirs)).collect();
        match self.dice.below(3) {
            0 => id,
            1 if !cards.is_empty() => {
                let card = self.dice.one_of(&cards);
                by(card, card)
            }
            _ => identifier,
        }
    }

    async fn act(&mut self, names: &[&str], step: u64) -> Result<()> {
        let name = *self.dice.one_of(names);
        let customer = self.somebody(name);
        match self.dice.below(10) {
            0 => {
                let city = *self.dice.one_of(&["Rome", "Bonn"]);
                self.town.tell(name, &[], json!({ "city": city })).await.map(drop)
            }
            1 => {
                let card = format!("{name}-card-{step}");
                self.town.tell(name, &[(&card, &card)], json!({ "card": step })).await?;
                self.cards.push(card);
                Ok(())
            }
            2..=4 => {
                let euros = *self.dice.one_of(&[1, 10, 25]);
                self.town.purchase(&customer, euros).await
            }
            5 | 6 => {
                let (topic, word) = (*self.dice.one_of(&["size", "diet"]), *self.dice.one_of(&["small", "large"]));
                let said = self.town.say(&customer, topic, json!(word)).await?;
                self.said.push(said);
                Ok(())
            }
            7 => self.retract().await,
            8 => {
                // Each for a purpose of its own: what came in by identifier while two were one was addressed to the
                // survivor, and after a split no later word of its own customer takes its place.
                let granted = self.dice.below(2) == 0;
                self.town.consent(&customer, &format!("purpose-{step}"), granted).await
            }
            _ => {
                let topic = *self.dice.one_of(&["wine", "beer"]);
                self.town.bound(&customer, topic).await?;
                self.town.decide(&customer).await
            }
        }
    }

    async fn retract(&mut self) -> Result<()> {
        if self.said.is_empty() {
            return Ok(());
        }
        let which = self.dice.below(self.said.len());
        let retract = RetractStatementRequest {
            statement_id: self.said.swap_remove(which),
            reason: "a slip".to_owned(),
            ..RetractStatementRequest::default()
        };
        let retracted = self.town.app.interaction().retract_statement(retract).await?.into_inner();
        self.town.seen.note(&retracted.revision)
    }
}
