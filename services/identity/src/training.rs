//! The work of `TrainMatcher`: reads what is compared of all records, fits a model to it, stores it, and files all records
//! by it if it is put in force.
//!
//! What stewards decided of the review queue is learnt from. What is read is fixed at the beginning (the records up to the newest of that moment); after a crash it is read again,
//! and if it is still the same, training goes on from the last round.

mod checkpoint;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use data::{Run, Work, operations::Progress};
use identity_domain::{
    Kind, Label, RecordId,
    matching::{Likeness, Matches},
};
use identity_matching::{
    block,
    corpus::{Corpus, RecordIndex},
    lexicon::mix,
    model::Model,
    train::{self, Options, State, Trainer},
    weight::Weight,
};
use prost::Message;
use rapport_proto::identity::v1::{TrainMatcherRequest, TrainMatcherResponse};
use terms::{Access, Fault, Reason};

use self::checkpoint::{Checkpoint, Stored};
use crate::{evidence, refile::Refiling, store::SqlCustomers};

/// How many records are read at a time.
const PAGE: u32 = 1_000;
/// What a request that names no number of pairs or iterations means.
const RANDOM_PAIRS: u64 = 1_000_000;
const ROUNDS: u32 = 50;

/// Trains matchers.
pub(crate) struct Training {
    customers: SqlCustomers,
    refiling: Refiling,
}

/// What is asked for, in full.
fn options(request: &TrainMatcherRequest) -> Options {
    let given = |n: u64, or: u64| if n == 0 { or } else { n };
    let rounds = given(request.max_iterations.max(0).unsigned_abs().into(), ROUNDS.into());
    Options {
        seed: request.random_seed.cast_unsigned(),
        random_pairs: given(request.max_pairs.max(0).unsigned_abs(), RANDOM_PAIRS),
        rounds: u32::try_from(rounds).unwrap_or(u32::MAX),
    }
}

/// What was read.
#[derive(Default)]
struct Data {
    /// The people, whom training is about.
    people: Corpus,
    /// Parties of other sorts: their common keys are stop keys too.
    others: Corpus,
    /// Which records somebody decided on, and where they are among the people.
    labelled: BTreeMap<RecordId, Option<RecordIndex>>,
    /// What was decided.
    labels: Vec<Label>,
    /// A mark of all that was read.
    mark: u64,
}

impl Data {
    fn new(labels: Vec<Label>) -> Self {
        let labelled = labels.iter().flat_map(|label| [label.left, label.right]).map(|record| (record, None)).collect();
        let mut data = Self { labelled, ..Self::default() };
        for label in &labels {
            data.note(label.left, u64::from(label.same));
            data.note(label.right, 2);
        }
        Self { labels, ..data }
    }

    fn note(&mut self, record: RecordId, what: u64) {
        let id = record.uuid().as_u128();
        self.mark = mix(self.mark ^ mix(what ^ (id >> 64) as u64) ^ id as u64);
    }

    fn push(&mut self, record: RecordId, likeness: &Likeness) {
        self.note(record, checkpoint::mark(likeness));
        if likeness.kind != Kind::Person {
            self.others.push(&likeness.compared);
            return;
        }
        let place = self.people.push(&likeness.compared);
        if let Some(labelled) = self.labelled.get_mut(&record) {
            *labelled = Some(place);
        }
    }

    /// What was decided about people who are here.
    fn lessons(&self) -> Vec<train::Label> {
        let place = |record: RecordId| self.labelled.get(&record).copied().flatten();
        let lesson =
            |label: &Label| Some(train::Label { a: place(label.left)?, b: place(label.right)?, same: label.same });
        self.labels.iter().filter_map(lesson).collect()
    }
}

impl Training {
    pub(crate) fn new(customers: SqlCustomers, refiling: Refiling) -> Self {
        Self { customers, refiling }
    }

    /// Reads, trains and stores.
    async fn train(&self, run: &Run, request: &TrainMatcherRequest, at: &mut Checkpoint) -> Result<Stored, Fault> {
        let options = options(request);
        let data = self.read(run, options, at).await?;
        let records = data.people.len() as u64;
        if records < 2 {
            let message = "there are fewer than two people of whom there is anything to compare; nothing can be learnt";
            return Err(Fault::new(Reason::RecordNotFound, message));
        }
        let mark = data.mark;
        let state = at.state(mark);
        run.progress(Progress::of("counting values and drawing pairs", rounds(&state), options.rounds.into()));
        let version = version(run);
        let (people, mut trainer) = blocking(move || begin(data, options, state, version)).await?;
        while trainer.state().round < options.rounds && !trainer.state().has_converged() {
            run.check()?;
            trainer = blocking(move || {
                trainer.step();
                trainer
            })
            .await?;
            let round = trainer.state().round.into();
            run.progress(Progress::of("training", round, options.rounds.into()));
            at.note(mark, trainer.state());
            run.save(at.encode_to_vec()).await?;
        }
        run.check()?;
        let state = trainer.state().clone();
        run.progress(Progress::of("matching once", state.round.into(), state.round.into()));
        let model = blocking(move || for_more_to_come(train::finish(trainer.model(), &people))).await?;
        let stored = Stored::new(&model.version, &state);
        at.stored = Some(stored.clone());
        self.customers.add_matcher(run, model, records, request.activate, at.encode_to_vec()).await?;
        Ok(stored)
    }

    /// Reads what is compared, page by page.
    async fn read(&self, run: &Run, options: Options, at: &mut Checkpoint) -> Result<Data, Fault> {
        let (all, last) = self.customers.compared(run.tenant()).await?;
        let Some(until) = at.until()?.or(last) else { return Ok(Data::default()) };
        if at.until()?.is_none() {
            at.set_until(until);
            run.save(at.encode_to_vec()).await?;
        }
        let labels = self.customers.labels(run.tenant()).await?;
        let (mut data, mut after, mut read) = (Data::new(labels), None, 0);
        loop {
            run.check()?;
            let stage = format!("reading records: {read} of {}", all.max(read));
            run.progress(Progress::of(stage, rounds(&at.last_state()), options.rounds.into()));
            let page = self.customers.likenesses(run.tenant(), after, until, PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(data) };
            (after, read) = (Some(*last), read + page.len() as u64);
            data = blocking(move || {
                for (record, likeness) in &page {
                    data.push(*record, likeness);
                }
                data
            })
            .await?;
        }
    }
}

fn rounds(state: &Option<State>) -> u64 {
    state.as_ref().map_or(0, |state| state.round.into())
}

/// With so many records a matcher is to reckon at least, on however few it was trained.
const RECKONED: f64 = 10_000.0;

/// The model for whoever goes on to hear of more people: of many, two drawn at random are one party less often than of
/// a few. What sets people and relatives apart stays as it was learnt.
fn for_more_to_come(mut model: Model) -> Model {
    let rarest = Weight::bits(-RECKONED.log2());
    let excess = (model.prior - rarest).max(Weight::ZERO);
    (model.prior, model.relatives) = (model.prior - excess, model.relatives - excess);
    model
}

/// The version of the model that an operation trains: known before it is stored, and nobody else's.
fn version(run: &Run) -> String {
    let id = run.id().to_string();
    format!("mat_{}", id.rsplit_once('_').map_or(id.as_str(), |(_, rest)| rest))
}

/// What comes before the first round, or before the next.
fn begin(data: Data, options: Options, state: Option<State>, version: String) -> (Corpus, Trainer) {
    let lessons = data.lessons();
    let Data { mut people, others, .. } = data;
    let mut model = train::prepare(&Model::default(), &mut people, options);
    model.stop_keys.extend(block::stop_keys(&others, block::LARGEST_BLOCK));
    model.version = version;
    let trainer = match state {
        Some(state) => Trainer::resume(&model, &people, &lessons, options.seed, state),
        None => Trainer::new(&model, &people, &lessons, options.seed),
    };
    (people, trainer)
}

/// Computes on a thread of its own.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work).await.map_err(Fault::internal)
}

#[async_trait]
impl Work for Training {
    fn kind(&self) -> &'static str {
        "TrainMatcher"
    }

    fn access(&self) -> Access {
        Access::Admin
    }

    fn unit(&self) -> &'static str {
        "iterations"
    }

    fn response(&self) -> &'static str {
        "rapport.identity.v1.TrainMatcherResponse"
    }

    async fn run(&self, run: &Run) -> Result<Vec<u8>, Fault> {
        let request = TrainMatcherRequest::decode(run.request()).map_err(Fault::internal)?;
        let mut at = Checkpoint::of(run)?;
        let stored = match at.stored.clone() {
            Some(stored) => stored,
            None => self.train(run, &request, &mut at).await?,
        };
        if request.activate {
            self.refiling.finish(run, stored.iterations.into()).await?;
        }
        let tenant = Arc::new(run.tenant().clone());
        let seen = run.write(at.encode_to_vec(), move |tx| {
            tx.observe(&tenant, None);
            Box::pin(async { Ok(()) })
        });
        let revision = seen.await?.revision;
        let response = TrainMatcherResponse {
            matcher: Some(evidence::matcher(&self.customers.trained(run.tenant(), &stored.version).await?)),
            iterations: i32::try_from(stored.iterations).unwrap_or(i32::MAX),
            converged: stored.converged,
            log_likelihood: stored.log_likelihood,
            revision: revision.to_string(),
        };
        Ok(response.encode_to_vec())
    }
}
