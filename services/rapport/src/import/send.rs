//! The RPCs of an import: one stream of customers or interactions, or statements side by side.

use std::{collections::HashMap, sync::Arc};

use anyhow::{Context, Result, anyhow};
use parking_lot::Mutex;
use rapport_proto::{
    google::rpc,
    identity::v1::{IdentifyStreamRequest, identify_verdict, identity_service_client::IdentityServiceClient},
    interaction::v1::{
        RecordInteractionsRequest, interaction_service_client::InteractionServiceClient, record_verdict,
    },
};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::connect::Transport;

use super::{
    mapping::{Becomes, CustomerMapping, InteractionMapping, Mapping, StatementMapping},
    template::{Row, Unfit},
};

/// A line of the input.
#[derive(Debug, Clone)]
pub struct Line {
    /// From 1.
    pub number: u64,
    /// What it holds, or why it cannot be read.
    pub row: Result<Row, String>,
}

/// What became of a line.
#[derive(Debug)]
pub struct Outcome {
    /// Which.
    pub line: Line,
    /// Why it was not taken; `None` when it was.
    pub rejection: Option<Rejection>,
}

/// Why a line was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Machine-readable.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// How many lines may be under way.
const WINDOW: usize = 4_096;
/// How many unary calls may be.
const CALLS: usize = 64;

type Outcomes = mpsc::Sender<Result<Outcome>>;

/// Sends `lines`; each comes back with what became of it, in any order. An error ends it. Customers of a first load are
/// compared later.
pub fn send(
    channel: Transport,
    mapping: Arc<Mapping>,
    first_load: bool,
    lines: impl Iterator<Item = Line> + Send + 'static,
) -> mpsc::Receiver<Result<Outcome>> {
    let (outcomes, receiver) = mpsc::channel(WINDOW);
    tokio::spawn(async move {
        let done = match &mapping.becomes {
            Becomes::Customer(fields) => customers(channel, (&mapping, fields), first_load, lines, &outcomes).await,
            Becomes::Interaction(fields) => interactions(channel, &mapping, fields, lines, &outcomes).await,
            Becomes::Statement(fields) => statements(channel, &mapping, fields, lines, &outcomes).await,
        };
        if let Err(fault) = done {
            let _ = outcomes.send(Err(fault)).await;
        }
    });
    receiver
}

/// The lines that were sent and not answered, by the index that the server counts.
#[derive(Default)]
struct Underway(Mutex<(u64, HashMap<u64, Line>)>);

impl Underway {
    fn push(&self, line: Line) {
        let mut state = self.0.lock();
        let index = state.0;
        state.0 += 1;
        state.1.insert(index, line);
    }

    fn take(&self, index: u64) -> Result<Line> {
        self.0.lock().1.remove(&index).ok_or_else(|| anyhow!("the server answered a line that was not sent"))
    }

    fn left(&self) -> usize {
        self.0.lock().1.len()
    }
}

/// Makes a request of each line that fits, and feeds them to a stream; the others are rejected here.
fn feed<T: Send + 'static>(
    lines: impl Iterator<Item = Line> + Send + 'static,
    make: impl Fn(&Row) -> Result<T, Unfit> + Send + 'static,
    underway: Arc<Underway>,
    outcomes: Outcomes,
) -> ReceiverStream<T> {
    let (sender, receiver) = mpsc::channel(1_024);
    tokio::spawn(async move {
        for line in lines {
            match fit(&line, &make) {
                Ok(request) => {
                    underway.push(line);
                    if sender.send(request).await.is_err() {
                        return;
                    }
                }
                Err(rejection) => {
                    if outcomes.send(Ok(Outcome { line, rejection: Some(rejection) })).await.is_err() {
                        return;
                    }
                }
            }
        }
    });
    ReceiverStream::new(receiver)
}

fn fit<T>(line: &Line, make: impl Fn(&Row) -> Result<T, Unfit>) -> Result<T, Rejection> {
    let local = |message: String| Rejection { reason: "LINE_UNFIT".to_owned(), message };
    match &line.row {
        Err(why) => Err(local(format!("the line {why}"))),
        Ok(row) => make(row).map_err(|unfit| local(unfit.to_string())),
    }
}

async fn customers(
    channel: Transport,
    (mapping, fields): (&Arc<Mapping>, &CustomerMapping),
    defer_matching: bool,
    lines: impl Iterator<Item = Line> + Send + 'static,
    outcomes: &Outcomes,
) -> Result<()> {
    let underway = Arc::new(Underway::default());
    let (map, fields) = (mapping.clone(), fields.clone());
    let make = move |row: &Row| {
        let request = |record| IdentifyStreamRequest { record: Some(record), defer_matching, ..Default::default() };
        map.customer(&fields, row).map(request)
    };
    let requests = feed(lines, make, underway.clone(), outcomes.clone());
    let mut replies = IdentityServiceClient::new(channel).identify_stream(requests).await?.into_inner();
    while let Some(reply) = replies.message().await? {
        for verdict in reply.verdicts {
            let rejection = match verdict.outcome {
                Some(identify_verdict::Outcome::Error(status)) => Some(refused(status)?),
                _ => None,
            };
            outcomes.send(Ok(Outcome { line: underway.take(verdict.index)?, rejection })).await?;
        }
    }
    complete(&underway)
}

async fn interactions(
    channel: Transport,
    mapping: &Arc<Mapping>,
    fields: &InteractionMapping,
    lines: impl Iterator<Item = Line> + Send + 'static,
    outcomes: &Outcomes,
) -> Result<()> {
    let underway = Arc::new(Underway::default());
    let (map, fields) = (mapping.clone(), fields.clone());
    let make = move |row: &Row| {
        map.interaction(&fields, row).map(|interaction| RecordInteractionsRequest {
            interaction: Some(interaction),
            ..RecordInteractionsRequest::default()
        })
    };
    let requests = feed(lines, make, underway.clone(), outcomes.clone());
    let mut replies = InteractionServiceClient::new(channel).record_interactions(requests).await?.into_inner();
    while let Some(reply) = replies.message().await? {
        for verdict in reply.verdicts {
            let rejection = match verdict.outcome {
                Some(record_verdict::Outcome::Error(status)) => Some(refused(status)?),
                _ => None,
            };
            outcomes.send(Ok(Outcome { line: underway.take(verdict.index)?, rejection })).await?;
        }
    }
    complete(&underway)
}

fn complete(underway: &Underway) -> Result<()> {
    match underway.left() {
        0 => Ok(()),
        left => Err(anyhow!("the server ended the stream with {left} lines unanswered")),
    }
}

async fn statements(
    channel: Transport,
    mapping: &Arc<Mapping>,
    fields: &StatementMapping,
    lines: impl Iterator<Item = Line> + Send + 'static,
    outcomes: &Outcomes,
) -> Result<()> {
    let client = InteractionServiceClient::new(channel);
    let slots = Arc::new(Semaphore::new(CALLS));
    for line in lines {
        let request = match fit(&line, |row| mapping.statement(fields, row)) {
            Ok(request) => request,
            Err(rejection) => {
                outcomes.send(Ok(Outcome { line, rejection: Some(rejection) })).await?;
                continue;
            }
        };
        let slot = slots.clone().acquire_owned().await?;
        let (mut client, outcomes) = (client.clone(), outcomes.clone());
        tokio::spawn(async move {
            let answer = match client.record_statement(request).await {
                Ok(_) => Ok(Outcome { line, rejection: None }),
                Err(status) => of_line(status).map(|rejection| Outcome { line, rejection: Some(rejection) }),
            };
            let _ = outcomes.send(answer).await;
            drop(slot);
        });
    }
    Ok(())
}

fn refused(status: rpc::Status) -> Result<Rejection> {
    let details = prost::Message::encode_to_vec(&status);
    of_line(Status::with_details(Code::from_i32(status.code), status.message, details.into()))
}

/// A status that is about the line; one that is about the server ends the import.
fn of_line(status: Status) -> Result<Rejection> {
    match status.code() {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Aborted => {
            let reason =
                status.get_details_error_info().map_or_else(|| format!("{:?}", status.code()), |info| info.reason);
            Ok(Rejection { reason, message: status.message().to_owned() })
        }
        _ => Err(status).context("the server cannot go on"),
    }
}
