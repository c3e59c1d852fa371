//! The work of `MatchRecords`: reads a data set, matches it, and writes or answers what it found. No customer changes.
//!
//! | file | subject |
//! |---|---|
//! | [`table`] | data sets in files |
//! | [`places`] | where files are read and written |

pub(crate) mod places;
pub mod table;

use std::{fs::File, sync::Arc};

use async_trait::async_trait;
use data::{Run, Work, operations::Progress};
use identity_domain::{
    match_records::{DataSet, MatchInput, Matched, Question},
    matching::Matches,
};
use prost::Message;
use rapport_proto::identity::v1 as wire;
use terms::{Access, Fault, Reason, Tenant};

use self::{places::Places, table::Columns};
use crate::{evidence, policies::Policies, store::SqlCustomers};

pub use self::places::write;
pub use identity_domain::{Policy, match_records, matching::Matcher};

/// How many records are matched without a folder for the result.
pub(crate) const MOST_ANSWERED: usize = 10_000;

/// Matches data sets.
pub(crate) struct Bulk {
    customers: SqlCustomers,
    policies: Policies,
    pub(crate) places: Places,
}

impl Bulk {
    pub(crate) fn new(customers: SqlCustomers, policies: Policies, places: Places) -> Self {
        Self { customers, policies, places }
    }

    /// The matcher that a request names.
    ///
    /// # Errors
    /// [`Reason::MatcherNotFound`].
    pub(crate) async fn matcher(&self, tenant: &Tenant, version: &str) -> Result<Matcher, Fault> {
        let found = self.customers.matcher(tenant, version).await?;
        found.map(|trained| trained.matcher).ok_or_else(|| {
            let what = format_args!("matcher `{version}`").to_string();
            Fault::not_found(Reason::MatcherNotFound, what).with("matcher_id", version.to_owned())
        })
    }

    /// Reads what is to be matched.
    fn read(&self, policy: Arc<Policy>, request: wire::MatchRecordsRequest, run: &Run) -> Result<DataSet, Fault> {
        let mut set = DataSet::new(policy);
        if request.uri.is_empty() {
            for (i, record) in request.records.into_iter().enumerate() {
                let at = format!("records[{i}]");
                set.push(input(&at, record)?).map_err(|fault| fault.within(&at))?;
            }
            return Ok(set);
        }
        let wrong = |why: String| Fault::invalid("uri", Reason::InvalidFields, why);
        let (path, format) = self.places.input(&request.uri)?;
        let file = File::open(path).map_err(|_| wrong("names a file that cannot be opened".to_owned()))?;
        for (line, row) in
            table::read(file, format, Columns::default()).map_err(|why| wrong(format!("is no data set: {why}")))?
        {
            let record = row.map_err(|why| wrong(format!("is no data set: line {line} {why}")))?;
            set.push(record).map_err(|fault| wrong(format!("is no data set: line {line}: {}", fault.message())))?;
            if line % 1_000 == 0 {
                run.progress(Progress::of(format!("reading records: {line}"), 0, 0));
                run.check()?;
            }
        }
        if request.output_uri.is_empty() && set.len() > MOST_ANSWERED {
            let message = "is needed for more than 10000 records; give a folder for the result";
            return Err(Fault::invalid("output_uri", Reason::InvalidFields, message));
        }
        Ok(set)
    }
}

/// A record of a request.
pub(crate) fn input(at: &str, record: wire::MatchInput) -> Result<MatchInput, Fault> {
    let wire::MatchInput { key, source, identifiers, traits } = record;
    let identifiers = identifiers
        .into_iter()
        .enumerate()
        .map(|(i, given)| host::decode::identifier(&format!("{at}.identifiers[{i}]"), given));
    let traits = match traits {
        None => Vec::new(),
        given => host::decode::object(&format!("{at}.traits"), given)?.into_iter().collect(),
    };
    Ok(MatchInput { key, source, identifiers: identifiers.collect::<Result<_, _>>()?, traits })
}

/// What a request asks of its data set.
fn question(request: &wire::MatchRecordsRequest, policy: &Policy, matcher: &Matcher) -> Question {
    let threshold = (request.threshold > 0.0).then_some(request.threshold);
    let explained = usize::try_from(request.max_pairs_returned).unwrap_or(0);
    Question { link_only: request.link_only, explained, ..Question::new(matcher, policy, threshold) }
}

fn response(count: usize, matched: &Matched, output_uri: String) -> wire::MatchRecordsResponse {
    let answered = if output_uri.is_empty() { matched.clusters.as_slice() } else { &[] };
    let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let cluster = |cluster: &identity_domain::match_records::RecordCluster| wire::RecordCluster {
        cluster_id: cluster.keys.first().cloned().unwrap_or_default(),
        keys: cluster.keys.clone(),
        confidence: cluster.confidence,
    };
    wire::MatchRecordsResponse {
        clusters: answered.iter().map(cluster).collect(),
        pairs: matched.explained.iter().map(|(pair, why)| evidence::scored(pair, why, &matched.matcher)).collect(),
        record_count: number(count),
        compared_pair_count: i64::try_from(matched.compared).unwrap_or(i64::MAX),
        linked_pair_count: i64::try_from(matched.linked).unwrap_or(i64::MAX),
        cluster_count: number(matched.clusters.len()),
        oversized_blocks: matched.oversized.iter().map(|(rule, count)| format!("{rule:?}: {count}")).collect(),
        output_uri,
    }
}

#[async_trait]
impl Work for Bulk {
    fn kind(&self) -> &'static str {
        "MatchRecords"
    }

    fn access(&self) -> Access {
        Access::Admin
    }

    fn unit(&self) -> &'static str {
        "pairs"
    }

    fn response(&self) -> &'static str {
        "rapport.identity.v1.MatchRecordsResponse"
    }

    async fn run(&self, run: &Run) -> Result<Vec<u8>, Fault> {
        let request = wire::MatchRecordsRequest::decode(run.request()).map_err(Fault::internal)?;
        let policy = self.policies.get(run.tenant()).await?;
        let matcher = self.matcher(run.tenant(), &request.matcher_id).await?;
        let this = Self::new(self.customers.clone(), self.policies.clone(), self.places.clone());
        let run = run.clone();
        let work = move || {
            let (question, output_uri) = (question(&request, &policy, &matcher), request.output_uri.clone());
            let set = this.read(policy, request, &run)?;
            run.check()?;
            run.progress(Progress::of("fitting the model", 0, 0));
            let count = set.len();
            let told = run.clone();
            let report = move |done: u64, most: u64| {
                told.progress(Progress::of("comparing", done, most));
                !told.stopping().is_cancelled()
            };
            let Some(matched) = set.matched(&matcher, question, report) else {
                run.check()?;
                return Err(Fault::new(Reason::ShuttingDown, "the comparison was stopped"));
            };
            if !output_uri.is_empty() {
                let folder = this.places.output(&output_uri, true)?;
                write(&folder, &matched).map_err(Fault::internal)?;
            }
            Ok(response(count, &matched, output_uri).encode_to_vec())
        };
        tokio::task::spawn_blocking(work).await.map_err(Fault::internal)?
    }
}
