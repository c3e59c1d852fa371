//! Rows and the domain's nouns, both ways. Personal data passes the sealer here, and nowhere else.

use data::Sealer;
use interaction_domain::{
    arrival::Arrival,
    boundary::Boundary,
    consent::{Consent, ConsentState, LawfulBasis},
    interaction::{Direction, Directness, Interaction, Money, Motivation},
    statement::{Ending, Statement, StatementKind},
};
use sea_orm::{QueryResult, Value};
use serde::de::DeserializeOwned;
use terms::{CustomerId, Fault, Identifier, Tenant};

use super::sql::{
    Holds::{self, Big, Bool, Bytes, Double, Id, MaybeBig, MaybeBytes, MaybeId, Small, Text},
    Table, column, fingerprint, id, id_bytes, ids, maybe, maybe_time, optional_id, optional_time, time, uuid,
};

/// The sealer for one tenant.
#[derive(Clone, Copy)]
pub(super) struct Seal<'a> {
    pub(super) sealer: &'a Sealer,
    pub(super) tenant: &'a Tenant,
}

impl Seal<'_> {
    fn text(&self, customer: CustomerId, text: &str) -> Value {
        self.bytes(customer, text.as_bytes()).into()
    }

    fn optional_text(&self, customer: CustomerId, text: &str) -> Value {
        (!text.is_empty()).then(|| self.bytes(customer, text.as_bytes())).into()
    }

    fn bytes(&self, customer: CustomerId, plain: &[u8]) -> Vec<u8> {
        self.sealer.seal(self.tenant, customer, plain)
    }

    fn json<T: serde::Serialize>(&self, customer: CustomerId, value: &T) -> Result<Vec<u8>, Fault> {
        Ok(self.bytes(customer, &serde_json::to_vec(value).map_err(Fault::internal)?))
    }

    fn open_text(&self, customer: CustomerId, sealed: Option<Vec<u8>>) -> Result<String, Fault> {
        match sealed {
            Some(sealed) => {
                String::from_utf8(self.sealer.open(self.tenant, customer, &sealed)?).map_err(Fault::internal)
            }
            None => Ok(String::new()),
        }
    }

    fn open_json<T: DeserializeOwned>(&self, customer: CustomerId, sealed: &[u8]) -> Result<T, Fault> {
        serde_json::from_slice(&self.sealer.open(self.tenant, customer, sealed)?).map_err(Fault::internal)
    }

    /// The key under which rows that came in by an identifier are found: of its value without the differences that no
    /// normaliser keeps, surrounding blanks and case.
    pub(super) fn via(&self, identifier: &Identifier) -> Vec<u8> {
        let folded = identifier.value.trim().to_lowercase();
        self.sealer.lookup_key(self.tenant, &identifier.namespace, &folded).to_vec()
    }

    /// `arrived_as, arrived_via, arrived_ref, arrived_record`.
    fn arrival(&self, arrival: &Arrival) -> [Value; 4] {
        let sealed = arrival.identifier.as_ref().map(|identifier| {
            self.bytes(arrival.addressed, format!("{}\0{}", identifier.namespace, identifier.value).as_bytes())
        });
        let via = arrival.identifier.as_ref().map(|identifier| self.via(identifier));
        [uuid(arrival.addressed), via.into(), sealed.into(), maybe(arrival.record)]
    }

    /// The identifier that came in, opened.
    pub(super) fn identifier(
        &self,
        addressed: CustomerId,
        sealed: Option<Vec<u8>>,
    ) -> Result<Option<Identifier>, Fault> {
        let Some(sealed) = sealed else { return Ok(None) };
        let text = self.open_text(addressed, Some(sealed))?;
        let (namespace, value) =
            text.split_once('\0').ok_or_else(|| Fault::internal("an identifier of another form"))?;
        Ok(Some(Identifier { namespace: namespace.to_owned(), value: value.to_owned() }))
    }

    /// Reads `arrived_as, arrived_ref, arrived_record` from `place` on.
    fn open_arrival(&self, row: &QueryResult, place: usize) -> Result<Arrival, Fault> {
        let addressed = id(row, place)?;
        let identifier = self.identifier(addressed, column(row, place + 1)?)?;
        Ok(Arrival { addressed, identifier, record: optional_id(row, place + 2)? })
    }
}

fn code<T>(row: &QueryResult, place: usize, from: impl Fn(i16) -> Option<T>) -> Result<T, Fault> {
    let code = column::<i16>(row, place)?;
    from(code).ok_or_else(|| Fault::internal(format!("the code {code} is none of its kind")))
}

pub(super) const SUBJECT: Table = Table {
    name: "subject",
    columns: &[
        ("tenant", Text),
        ("customer", Id),
        ("survivor", MaybeId),
        ("moved_xid", Big),
        ("moved_seq", Big),
        ("split_xid", Big),
        ("split_seq", Big),
        ("erased", Bool),
    ],
};

const ARRIVAL: [(&str, Holds); 5] = [
    ("customer", Id),
    ("arrived_as", Id),
    ("arrived_via", MaybeBytes),
    ("arrived_ref", MaybeBytes),
    ("arrived_record", MaybeId),
];

pub(super) const INTERACTION: Table = Table {
    name: "interaction",
    columns: &[
        ("tenant", Text),
        ("id", Id),
        ARRIVAL[0],
        ARRIVAL[1],
        ARRIVAL[2],
        ARRIVAL[3],
        ARRIVAL[4],
        ("type", Text),
        ("channel", Text),
        ("touchpoint", Text),
        ("direction", Small),
        ("directness", Small),
        ("motivation", Small),
        ("inducement", Text),
        ("occurred_at", Big),
        ("recorded_at", Big),
        ("value_micros", MaybeBig),
        ("currency", Text),
        ("conversation", MaybeId),
        ("source", Text),
        ("decision", MaybeId),
        ("reservation", MaybeId),
        ("statements", MaybeBytes),
        ("fingerprint", MaybeBytes),
        ("properties", MaybeBytes),
    ],
};

/// What [`interaction`] reads.
pub(super) const INTERACTION_COLUMNS: &str = "id, customer, arrived_as, arrived_ref, arrived_record, type, channel, \
    touchpoint, direction, directness, motivation, inducement, occurred_at, recorded_at, value_micros, currency, \
    conversation, source, decision, reservation, statements, fingerprint, properties";

pub(super) fn interaction_row(seal: Seal<'_>, i: &Interaction) -> Result<Vec<Value>, Fault> {
    let holder = i.arrival.addressed;
    let properties = i.properties.as_ref().map(|p| seal.json(holder, p)).transpose()?;
    let (micros, currency) = i.value.as_ref().map_or((None, ""), |v| (Some(v.micros), v.currency.as_str()));
    let statements = (!i.statements.is_empty()).then(|| id_bytes(&i.statements));
    let mut row: Vec<Value> = Vec::with_capacity(INTERACTION.columns.len());
    row.extend([seal.tenant.as_str().into(), uuid(i.id), uuid(i.customer)]);
    row.extend(seal.arrival(&i.arrival));
    row.extend([
        i.kind.as_str().into(),
        i.channel.as_str().into(),
        i.touchpoint.as_str().into(),
        i.direction.code().into(),
        i.directness.code().into(),
        i.motivation.code().into(),
        i.inducement.as_str().into(),
        i.occurred_at.micros().into(),
        i.recorded_at.micros().into(),
        micros.into(),
        currency.into(),
        maybe(i.conversation),
        i.source.as_str().into(),
        maybe(i.decision),
        maybe(i.reservation),
        statements.into(),
        i.fingerprint.map(|f| f.to_vec()).into(),
        properties.into(),
    ]);
    Ok(row)
}

pub(super) fn interaction(seal: Seal<'_>, row: &QueryResult) -> Result<Interaction, Fault> {
    let arrival = seal.open_arrival(row, 2)?;
    let currency: String = column(row, 15)?;
    let properties: Option<Vec<u8>> = column(row, 22)?;
    Ok(Interaction {
        id: id(row, 0)?,
        customer: id(row, 1)?,
        kind: column(row, 5)?,
        channel: column(row, 6)?,
        touchpoint: column(row, 7)?,
        direction: code(row, 8, Direction::from_code)?,
        directness: code(row, 9, Directness::from_code)?,
        motivation: code(row, 10, Motivation::from_code)?,
        inducement: column(row, 11)?,
        occurred_at: time(row, 12)?,
        recorded_at: time(row, 13)?,
        value: column::<Option<i64>>(row, 14)?.map(|micros| Money { currency, micros }),
        conversation: optional_id(row, 16)?,
        source: column(row, 17)?,
        decision: optional_id(row, 18)?,
        reservation: optional_id(row, 19)?,
        statements: ids(&column::<Option<Vec<u8>>>(row, 20)?.unwrap_or_default()),
        fingerprint: fingerprint(row, 21)?,
        properties: properties.map(|sealed| seal.open_json(arrival.addressed, &sealed)).transpose()?,
        arrival,
    })
}

pub(super) const STATEMENT: Table = Table {
    name: "statement",
    columns: &[
        ("tenant", Text),
        ("id", Id),
        ARRIVAL[0],
        ARRIVAL[1],
        ARRIVAL[2],
        ARRIVAL[3],
        ARRIVAL[4],
        ("topic", Text),
        ("value", Bytes),
        ("kind", Small),
        ("source_interaction", MaybeId),
        ("confidence", Double),
        ("valid_until", MaybeBig),
        ("utterance", MaybeBytes),
        ("occurred_at", Big),
        ("recorded_at", Big),
        ("retracted_at", MaybeBig),
        ("retract_reason", MaybeBytes),
        ("source", Text),
        ("boundary", MaybeId),
        ("fingerprint", MaybeBytes),
    ],
};

/// What [`statement`] reads, of the table `s`.
pub(super) const STATEMENT_COLUMNS: &str = "s.id, s.customer, s.arrived_as, s.arrived_ref, s.arrived_record, s.topic, \
    s.value, s.kind, s.source_interaction, s.confidence, s.valid_until, s.utterance, s.occurred_at, s.recorded_at, \
    s.retracted_at, s.retract_reason, s.source, s.boundary, s.fingerprint";
/// How many columns that are.
pub(super) const STATEMENT_WIDTH: usize = 19;

pub(super) fn statement_row(seal: Seal<'_>, s: &Statement) -> Result<Vec<Value>, Fault> {
    let holder = s.arrival.addressed;
    let mut row: Vec<Value> = Vec::with_capacity(STATEMENT.columns.len());
    row.extend([seal.tenant.as_str().into(), uuid(s.id), uuid(s.customer)]);
    row.extend(seal.arrival(&s.arrival));
    row.extend([
        s.topic.as_str().into(),
        seal.json(holder, &s.value)?.into(),
        s.kind.code().into(),
        maybe(s.source_interaction),
        s.confidence.into(),
        maybe_time(s.valid_until),
        seal.optional_text(holder, &s.utterance),
        s.occurred_at.micros().into(),
        s.recorded_at.micros().into(),
    ]);
    row.extend(ending(seal, holder, s.retraction.as_ref()));
    row.extend([s.source.as_str().into(), maybe(s.boundary), s.fingerprint.map(|f| f.to_vec()).into()]);
    Ok(row)
}

/// When something ended and why.
pub(super) fn ending(seal: Seal<'_>, holder: CustomerId, ending: Option<&Ending>) -> [Value; 2] {
    let reason = ending.map_or("", |ending| ending.reason.as_str());
    [maybe_time(ending.map(|ending| ending.at)), seal.optional_text(holder, reason)]
}

fn open_ending(seal: Seal<'_>, holder: CustomerId, row: &QueryResult, place: usize) -> Result<Option<Ending>, Fault> {
    let Some(at) = optional_time(row, place)? else { return Ok(None) };
    Ok(Some(Ending { at, reason: seal.open_text(holder, column(row, place + 1)?)? }))
}

pub(super) fn statement(seal: Seal<'_>, row: &QueryResult) -> Result<Statement, Fault> {
    let arrival = seal.open_arrival(row, 2)?;
    let holder = arrival.addressed;
    Ok(Statement {
        id: id(row, 0)?,
        customer: id(row, 1)?,
        topic: column(row, 5)?,
        value: seal.open_json(holder, &column::<Vec<u8>>(row, 6)?)?,
        kind: code(row, 7, StatementKind::from_code)?,
        source_interaction: optional_id(row, 8)?,
        confidence: column(row, 9)?,
        valid_until: optional_time(row, 10)?,
        utterance: seal.open_text(holder, column(row, 11)?)?,
        occurred_at: time(row, 12)?,
        recorded_at: time(row, 13)?,
        retraction: open_ending(seal, holder, row, 14)?,
        source: column(row, 16)?,
        boundary: optional_id(row, 17)?,
        fingerprint: fingerprint(row, 18)?,
        arrival,
    })
}

pub(super) const CONSENT: Table = Table {
    name: "consent",
    columns: &[
        ("tenant", Text),
        ("id", Id),
        ARRIVAL[0],
        ARRIVAL[1],
        ARRIVAL[2],
        ARRIVAL[3],
        ARRIVAL[4],
        ("purpose", Text),
        ("channel", Text),
        ("topic", Text),
        ("state", Small),
        ("basis", Small),
        ("source", Text),
        ("evidence", MaybeBytes),
        ("source_interaction", MaybeId),
        ("valid_from", Big),
        ("valid_until", MaybeBig),
        ("occurred_at", Big),
        ("recorded_at", Big),
        ("speaks_for", Bytes),
    ],
};

/// What [`consent`] reads.
pub(super) const CONSENT_COLUMNS: &str = "id, customer, arrived_as, arrived_ref, arrived_record, purpose, channel, topic, \
    state, basis, source, evidence, source_interaction, valid_from, valid_until, occurred_at, recorded_at, speaks_for";

pub(super) fn consent_row(seal: Seal<'_>, c: &Consent) -> Vec<Value> {
    let mut row: Vec<Value> = Vec::with_capacity(CONSENT.columns.len());
    row.extend([seal.tenant.as_str().into(), uuid(c.id), uuid(c.customer)]);
    row.extend(seal.arrival(&c.arrival));
    row.extend([
        c.purpose.as_str().into(),
        c.channel.as_str().into(),
        c.topic.as_str().into(),
        c.state.code().into(),
        c.basis.code().into(),
        c.source.as_str().into(),
        seal.optional_text(c.arrival.addressed, &c.evidence),
        maybe(c.source_interaction),
        c.valid_from.micros().into(),
        maybe_time(c.valid_until),
        c.occurred_at.micros().into(),
        c.recorded_at.micros().into(),
        id_bytes(&c.speaks_for).into(),
    ]);
    row
}

pub(super) fn consent(seal: Seal<'_>, row: &QueryResult) -> Result<Consent, Fault> {
    let arrival = seal.open_arrival(row, 2)?;
    Ok(Consent {
        id: id(row, 0)?,
        customer: id(row, 1)?,
        purpose: column(row, 5)?,
        channel: column(row, 6)?,
        topic: column(row, 7)?,
        state: code(row, 8, ConsentState::from_code)?,
        basis: code(row, 9, LawfulBasis::from_code)?,
        source: column(row, 10)?,
        evidence: seal.open_text(arrival.addressed, column(row, 11)?)?,
        source_interaction: optional_id(row, 12)?,
        valid_from: time(row, 13)?,
        valid_until: optional_time(row, 14)?,
        occurred_at: time(row, 15)?,
        recorded_at: time(row, 16)?,
        speaks_for: ids(&column::<Vec<u8>>(row, 17)?),
        arrival,
    })
}

pub(super) const BOUNDARY: Table = Table {
    name: "boundary",
    columns: &[
        ("tenant", Text),
        ("id", Id),
        ARRIVAL[0],
        ARRIVAL[1],
        ARRIVAL[2],
        ARRIVAL[3],
        ARRIVAL[4],
        ("words", Bytes),
        ("scope", Text),
        ("statement", MaybeId),
        ("source_interaction", MaybeId),
        ("source", Text),
        ("occurred_at", Big),
        ("recorded_at", Big),
        ("valid_until", MaybeBig),
        ("lifted_at", MaybeBig),
        ("lift_reason", MaybeBytes),
    ],
};

/// What [`boundary`] reads.
pub(super) const BOUNDARY_COLUMNS: &str = "id, customer, arrived_as, arrived_ref, arrived_record, words, scope, statement, \
    source_interaction, source, occurred_at, recorded_at, valid_until, lifted_at, lift_reason";

pub(super) fn boundary_row(seal: Seal<'_>, b: &Boundary) -> Result<Vec<Value>, Fault> {
    let holder = b.arrival.addressed;
    let mut row: Vec<Value> = Vec::with_capacity(BOUNDARY.columns.len());
    row.extend([seal.tenant.as_str().into(), uuid(b.id), uuid(b.customer)]);
    row.extend(seal.arrival(&b.arrival));
    row.extend([
        seal.text(holder, &b.words),
        serde_json::to_string(&b.scope).map_err(Fault::internal)?.into(),
        maybe(b.statement),
        maybe(b.source_interaction),
        b.source.as_str().into(),
        b.occurred_at.micros().into(),
        b.recorded_at.micros().into(),
        maybe_time(b.valid_until),
    ]);
    row.extend(ending(seal, holder, b.lifted.as_ref()));
    Ok(row)
}

pub(super) fn boundary(seal: Seal<'_>, row: &QueryResult) -> Result<Boundary, Fault> {
    let arrival = seal.open_arrival(row, 2)?;
    let holder = arrival.addressed;
    Ok(Boundary {
        id: id(row, 0)?,
        customer: id(row, 1)?,
        words: seal.open_text(holder, column(row, 5)?)?,
        scope: serde_json::from_str(&column::<String>(row, 6)?).map_err(Fault::internal)?,
        statement: optional_id(row, 7)?,
        source_interaction: optional_id(row, 8)?,
        source: column(row, 9)?,
        occurred_at: time(row, 10)?,
        recorded_at: time(row, 11)?,
        valid_until: optional_time(row, 12)?,
        lifted: open_ending(seal, holder, row, 13)?,
        arrival,
    })
}
