//! Some customers who have a tenant to themselves, and what they live through. The people of two towns live through the
//! same but for what a test is about, and then read alike.

use std::{collections::BTreeMap, sync::LazyLock};

use anyhow::{Context, Result, ensure};
use it::{
    app::{App, by, by_id, from_now, money},
    suite::Shape,
};
use prost_types::Timestamp;
use rapport_proto::{
    identity::v1::IdentifyResponse,
    interaction::v1::{
        Consent, ConsentState, InteractionInput, ListInteractionsRequest, RecordConsentRequest, SetBoundaryRequest,
    },
    r#type::v1::{BoundaryScope, CustomerRef},
};
use serde_json::{Value, json};
use terms::Revision;

use crate::portrait::Portrait;

const SEGMENTS: [(&str, &str); 6] = [
    ("romans", r#"customer.city == "Rome""#),
    ("regulars", r#"count("purchase") >= 5"#),
    ("busy", r#"count("purchase", duration("24h")) >= 5"#),
    ("big", r#"sum("purchase", "value") > 55.0"#),
    ("huge", r#"sum("purchase", "value") > 70.0"#),
    ("small", r#"statements["size"] == "small""#),
];

/// What a revision token must contain.
#[derive(Debug, Default)]
pub(crate) struct Seen(Revision);

impl Seen {
    pub(crate) fn note(&mut self, revision: &str) -> Result<()> {
        self.0.merge(&revision.parse()?);
        Ok(())
    }

    pub(crate) fn token(&self) -> String {
        self.0.to_string()
    }
}

/// The people of a tenant, by name. Each has an identifier: the name, in a namespace of that name.
pub(crate) struct Town {
    pub(crate) app: App,
    pub(crate) seen: Seen,
    ids: BTreeMap<String, String>,
}

impl Town {
    /// A furnished tenant; nobody is known yet.
    pub(crate) async fn new(shape: Shape, name: &str) -> Result<Self> {
        let app = App::new(shape, name);
        furnish(&app).await?;
        Ok(Self { app, seen: Seen::default(), ids: BTreeMap::new() })
    }

    /// What a source says of somebody, under the identifier of that name and maybe others.
    pub(crate) async fn tell(
        &mut self,
        name: &str,
        others: &[(&str, &str)],
        traits: Value,
    ) -> Result<IdentifyResponse> {
        let reply = self.app.identify(&[&[(name, name)], others].concat(), traits).await?;
        self.seen.note(&reply.revision)?;
        Ok(reply)
    }

    /// Whose id it is that somebody has of their own.
    pub(crate) fn is(&mut self, name: &str, id: &str) {
        self.ids.insert(name.to_owned(), id.to_owned());
    }

    pub(crate) fn id(&self, name: &str) -> &str {
        self.ids.get(name).map_or("", String::as_str)
    }

    /// The ways to name somebody.
    pub(crate) fn refs(&self, name: &str) -> [CustomerRef; 2] {
        [by_id(self.id(name)), by(name, name)]
    }

    /// Interactions, statements, consents, boundaries and decisions of everybody, by id and by identifier.
    pub(crate) async fn live(&mut self, round: i64) -> Result<()> {
        let names: Vec<String> = self.ids.keys().cloned().collect();
        for name in names {
            for (way, customer) in self.refs(&name).into_iter().enumerate() {
                let what = format!("{name}-{round}-{way}");
                self.purchase(&customer, round * 10 + way as i64 + 1).await?;
                self.say(&customer, &format!("topic-{round}-{way}"), json!(name)).await?;
                // Everybody has another word about this, and each one's last holds.
                self.say(&customer, "size", json!(what)).await?;
                self.bound(&customer, &what).await?;
                let granted = name == "left";
                self.consent(&customer, &format!("purpose-{round}-{way}"), granted).await?;
                self.decide(&customer).await?;
            }
        }
        Ok(())
    }

    /// A record of somebody comes with an identifier that nobody knew, under which something happens.
    pub(crate) async fn card(&mut self, name: &str) -> Result<()> {
        self.tell(name, &[("card", "card")], json!({ "late": true })).await?;
        self.purchase(&by("card", "card"), 7).await
    }

    /// In both towns at the same time, lest a day or a window ends in between.
    pub(crate) async fn purchase(&mut self, customer: &CustomerRef, euros: i64) -> Result<()> {
        static THEN: LazyLock<Timestamp> = LazyLock::new(|| from_now(-60_000));
        let purchase = InteractionInput {
            customer: Some(customer.clone()),
            r#type: "purchase".to_owned(),
            channel: "shop".to_owned(),
            value: Some(money(euros)),
            occurred_at: Some(*THEN),
            ..InteractionInput::default()
        };
        self.seen.note(&self.app.record_input(purchase).await?.revision)
    }

    /// Gives the statement's id.
    pub(crate) async fn say(&mut self, customer: &CustomerRef, topic: &str, value: Value) -> Result<String> {
        let said = self.app.say(customer.clone(), topic, value).await?;
        self.seen.note(&said.revision)?;
        Ok(said.statement.context("the statement")?.statement_id)
    }

    pub(crate) async fn bound(&mut self, customer: &CustomerRef, topic: &str) -> Result<()> {
        let boundary = SetBoundaryRequest {
            customer: Some(customer.clone()),
            statement: format!("never {topic}"),
            scope: Some(BoundaryScope { topics: vec![topic.to_owned()], ..BoundaryScope::default() }),
            ..SetBoundaryRequest::default()
        };
        self.seen.note(&self.app.interaction().set_boundary(boundary).await?.into_inner().revision)
    }

    pub(crate) async fn consent(&mut self, customer: &CustomerRef, purpose: &str, granted: bool) -> Result<()> {
        let state = if granted { ConsentState::Granted } else { ConsentState::Denied };
        let consent = Consent {
            purpose: purpose.to_owned(),
            state: state.into(),
            source: "form".to_owned(),
            ..Consent::default()
        };
        let request = RecordConsentRequest {
            customer: Some(customer.clone()),
            consents: vec![consent],
            ..RecordConsentRequest::default()
        };
        self.seen.note(&self.app.interaction().record_consent(request).await?.into_inner().revision)
    }

    pub(crate) async fn decide(&mut self, customer: &CustomerRef) -> Result<()> {
        self.seen.note(&self.app.decide(customer.clone(), "home", &self.seen.token()).await?.revision)
    }

    /// How many purchases there are of whom `customer` names, all of them of the customer `id`.
    pub(crate) async fn purchases(&self, customer: CustomerRef, id: &str) -> Result<usize> {
        let all = ListInteractionsRequest {
            customer: Some(customer),
            page_size: 100,
            at_least: self.seen.token(),
            ..ListInteractionsRequest::default()
        };
        let all = self.app.interaction().list_interactions(all).await?.into_inner().interactions;
        ensure!(all.iter().all(|i| i.customer_id == id), "all are of {id}: {all:#?}");
        Ok(all.iter().filter(|i| i.r#type == "purchase").count())
    }

    /// Everything that is read of whom `customer` names.
    async fn portrait(&self, customer: &CustomerRef) -> Result<Vec<String>> {
        let names = self.ids.iter().map(|(name, id)| (id.clone(), name.clone())).collect();
        let segments = SEGMENTS.map(|(name, _)| name);
        let at_least = self.seen.token();
        Portrait { app: &self.app, names: &names, segments: &segments, touchpoint: "home", at_least: &at_least }
            .of(customer)
            .await
    }
}

/// Whether the people of both towns read alike, whatever way each is named.
pub(crate) async fn alike(told: &Town, plain: &Town) -> Result<()> {
    for name in plain.ids.keys() {
        for (here, there) in told.refs(name).iter().zip(&plain.refs(name)) {
            let (here, there) = (told.portrait(here).await?, plain.portrait(there).await?);
            for (here, there) in here.iter().zip(&there) {
                ensure!(here == there, "{name} reads `{here}` and should read `{there}`");
            }
            ensure!(here.len() == there.len(), "{name}: {here:#?} should be {there:#?}");
        }
    }
    Ok(())
}

/// Segments, treatments and a touchpoint.
pub(crate) async fn furnish(app: &App) -> Result<()> {
    for (name, definition) in SEGMENTS {
        app.segment(name, definition).await?;
    }
    app.treatment("thanks", r#""huge" in segments"#, 3.0).await?;
    app.treatment("gift", r#""big" in segments"#, 2.0).await?;
    app.treatment("plain", "", 1.0).await?;
    app.touchpoint("home", &["thanks", "gift", "plain"]).await?;
    Ok(())
}
