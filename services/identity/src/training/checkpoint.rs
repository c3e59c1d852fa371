//! How far training has come, to the last bit: numbers in text would not all come back the same.

use data::Run;
use identity_domain::{RecordId, matching::Likeness};
use identity_matching::{lexicon::stable_hash, model::Probabilities, train::State, weight::Weight};
use prost::Message;
use terms::{Fault, Id};
use uuid::Uuid;

/// What is saved.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Checkpoint {
    /// The newest record that is read.
    #[prost(bytes = "vec", tag = "1")]
    until: Vec<u8>,
    /// A mark of what was read, and how far it was trained on.
    #[prost(fixed64, tag = "2")]
    mark: u64,
    #[prost(message, optional, tag = "3")]
    round: Option<Round>,
    /// What came of it, once it is stored.
    #[prost(message, optional, tag = "4")]
    pub(super) stored: Option<Stored>,
}

/// [`State`].
#[derive(Clone, PartialEq, Message)]
struct Round {
    #[prost(uint32, tag = "1")]
    round: u32,
    #[prost(double, tag = "2")]
    change: f64,
    #[prost(double, tag = "3")]
    likelihood: f64,
    #[prost(sint32, tag = "4")]
    prior: i32,
    #[prost(sint32, tag = "5")]
    relatives: i32,
    #[prost(message, repeated, tag = "6")]
    comparisons: Vec<Table>,
}

/// [`Probabilities`].
#[derive(Clone, PartialEq, Message)]
struct Table {
    #[prost(double, repeated, tag = "1")]
    m: Vec<f64>,
    #[prost(double, repeated, tag = "2")]
    u: Vec<f64>,
    #[prost(bytes = "vec", tag = "3")]
    class: Vec<u8>,
}

/// A model that is stored, and how its training ended.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Stored {
    #[prost(string, tag = "1")]
    pub(super) version: String,
    #[prost(uint32, tag = "2")]
    pub(super) iterations: u32,
    #[prost(bool, tag = "3")]
    pub(super) converged: bool,
    #[prost(double, tag = "4")]
    pub(super) log_likelihood: f64,
}

impl Stored {
    pub(super) fn new(version: &str, state: &State) -> Self {
        Self {
            version: version.to_owned(),
            iterations: state.round,
            converged: state.has_converged(),
            log_likelihood: state.likelihood,
        }
    }
}

impl Checkpoint {
    /// What the operation saved last.
    pub(super) fn of(run: &Run) -> Result<Self, Fault> {
        run.checkpoint().map_or(Ok(Self::default()), |saved| Self::decode(&*saved).map_err(Fault::internal))
    }

    /// The newest record that is read, once that is fixed.
    pub(super) fn until(&self) -> Result<Option<RecordId>, Fault> {
        if self.until.is_empty() {
            return Ok(None);
        }
        Uuid::from_slice(&self.until).map(|id| Some(Id::from_uuid(id))).map_err(Fault::internal)
    }

    pub(super) fn set_until(&mut self, until: RecordId) {
        self.until = until.uuid().as_bytes().to_vec();
    }

    /// Notes a round over what has this mark.
    pub(super) fn note(&mut self, mark: u64, state: &State) {
        let table = |p: &Probabilities| Table { m: p.m.clone(), u: p.u.clone(), class: p.class.clone() };
        self.mark = mark;
        self.round = Some(Round {
            round: state.round,
            change: state.change,
            likelihood: state.likelihood,
            prior: state.prior.0,
            relatives: state.relatives.0,
            comparisons: state.comparisons.iter().map(table).collect(),
        });
    }

    /// Where to go on over what has this mark; `None`: at the beginning.
    pub(super) fn state(&self, mark: u64) -> Option<State> {
        self.last_state().filter(|_| self.mark == mark)
    }

    /// The last round, over whatever it was.
    pub(super) fn last_state(&self) -> Option<State> {
        let round = self.round.clone()?;
        let table = |t: Table| Probabilities { m: t.m, u: t.u, class: t.class };
        Some(State {
            round: round.round,
            change: round.change,
            likelihood: round.likelihood,
            prior: Weight(round.prior),
            relatives: Weight(round.relatives),
            comparisons: round.comparisons.into_iter().map(table).collect(),
        })
    }
}

/// A mark of what is compared of one record.
pub(super) fn mark(likeness: &Likeness) -> u64 {
    stable_hash(format!("{likeness:?}").as_bytes())
}

#[cfg(test)]
mod tests {
    use identity_matching::model::Model;

    use super::*;

    #[test]
    fn a_state_comes_back_to_the_last_bit() {
        let model = Model::default();
        let state = State {
            round: 3,
            change: 0.1 + 0.2,
            likelihood: -1.0 / 3.0,
            prior: model.prior,
            relatives: model.relatives,
            comparisons: model.comparisons,
        };
        let mut saved = Checkpoint::default();
        saved.note(7, &state);
        let back = Checkpoint::decode(&*saved.encode_to_vec()).unwrap();
        assert_eq!((back.state(7), back.state(8)), (Some(state), None));
    }
}
