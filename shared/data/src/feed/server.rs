//! `rapport.feed.v1.FeedService`: the feeds of the services that live here, for whoever may follow them.

use std::{sync::Arc, time::Duration};

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use rapport_proto::feed::v1 as proto;
use terms::{Access, Caller, Clock, Fault, PARTITIONS, Position, Reason, Revision, Service, Timestamp, Violations};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::{Entry, Feed, FeedBatch, FeedSource, Watch, WatchFrom};

/// Serves feeds by gRPC. A caller sees the entries of its own tenant; another service of the suite
/// ([`Caller::every_tenant`]) sees all.
///
/// Expects a [`Caller`] in the extensions of each request, and checks the scope `<service>.read` itself: which one it
/// is stands in the request.
#[derive(Clone)]
pub struct Server {
    feeds: Arc<[Feed]>,
    status: fn(Fault) -> Status,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
}

impl Server {
    /// Serves `feeds`. `status` turns faults into statuses; streams end when `shutdown` is cancelled.
    pub fn new(
        feeds: impl IntoIterator<Item = Feed>,
        clock: Arc<dyn Clock>,
        status: fn(Fault) -> Status,
        shutdown: CancellationToken,
    ) -> Self {
        Self { feeds: feeds.into_iter().collect(), status, clock, shutdown }
    }

    async fn open(&self, request: Request<proto::WatchRequest>) -> Result<proto_stream::Responses, Fault> {
        let caller = request.extensions().get::<Caller>().cloned();
        let caller = caller.ok_or_else(|| {
            Fault::new(Reason::CredentialMissing, "this call needs a credential; send one as `authorization: Bearer`")
        })?;
        let body = request.into_inner();
        let feed = self.feed(&body.service, &caller)?;
        let service = feed.service();
        let tenant = (!caller.every_tenant).then_some(caller.tenant);
        let watch = decode(&body, service, feed, tenant).await?;
        let batches = feed.watch(watch).await?;
        let (clock, status) = (self.clock.clone(), self.status);
        let responses = batches.map(move |batch| match batch {
            Ok(batch) => Ok(encode(service, batch, clock.now())),
            Err(fault) => Err(status(fault)),
        });
        let closing = {
            let (shutdown, status) = (self.shutdown.clone(), self.status);
            stream::once(async move {
                shutdown.cancelled().await;
                Err(status(Fault::new(Reason::ShuttingDown, "the server is going away; resume elsewhere")))
            })
        };
        Ok(proto_stream::until(responses.boxed(), closing.boxed()))
    }

    fn feed(&self, name: &str, caller: &Caller) -> Result<&Feed, Fault> {
        if name.is_empty() {
            return Err(Fault::invalid("service", Reason::InvalidFields, "is required: whose feed"));
        }
        let known = name.parse::<Service>().ok();
        if let Some(service) = known
            && !caller.may(service.name(), Access::Read)
        {
            let scope = format!("{service}.read");
            return Err(
                Fault::new(Reason::ScopeMissing, format!("this needs the scope `{scope}`")).with("scope", scope)
            );
        }
        let feed = self.feeds.iter().find(|feed| Some(feed.service()) == known);
        feed.ok_or_else(|| {
            let here: Vec<&str> = self.feeds.iter().map(|feed| feed.service().name()).collect();
            let message = format!("there is no service `{name}` here; there is {}", here.join(", "));
            Fault::new(Reason::ServiceUnknown, message)
        })
    }
}

mod proto_stream {
    use super::{BoxStream, Status, StreamExt, proto, stream};

    pub(super) type Responses = BoxStream<'static, Result<proto::WatchResponse, Status>>;

    /// `responses`, cut off by the first item of `closing`; an error is the last item.
    pub(super) fn until(responses: Responses, closing: Responses) -> Responses {
        let both = stream::select(responses, closing);
        let mut ended = false;
        both.take_while(move |item| {
            let go_on = !ended;
            ended |= item.is_err();
            std::future::ready(go_on)
        })
        .boxed()
    }
}

#[tonic::async_trait]
impl proto::feed_service_server::FeedService for Server {
    type WatchStream = proto_stream::Responses;

    async fn watch(&self, request: Request<proto::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        self.open(request).await.map(Response::new).map_err(self.status)
    }
}

const HEARTBEATS: std::ops::RangeInclusive<i64> = 1..=60;
const MAX_ENTRIES: i32 = 1_000;
const DEFAULT_ENTRIES: i32 = 500;

async fn decode(
    body: &proto::WatchRequest,
    service: Service,
    feed: &Feed,
    tenant: Option<terms::Tenant>,
) -> Result<Watch, Fault> {
    let mut wrong = Violations::new();
    let mut cursors = Vec::new();
    let mut open = Vec::new();
    for (i, wanted) in body.partitions.iter().enumerate() {
        let field = format!("partitions[{i}]");
        match u16::try_from(wanted.partition) {
            Ok(partition) if partition < PARTITIONS => match read_cursor(service, partition, &wanted.cursor) {
                Some(None) => open.push(partition),
                Some(Some(position)) => cursors.push((partition, position)),
                None => wrong.absorb(Fault::invalid(
                    format!("{field}.cursor"),
                    Reason::FeedCursorInvalid,
                    "is not a cursor of this partition; send one just as it came",
                )),
            },
            _ => wrong
                .add(format!("{field}.partition"), format!("is {}; give 0 to {}", wanted.partition, PARTITIONS - 1)),
        }
    }
    for (i, kind) in body.types.iter().enumerate() {
        wrong.add_if(!is_kind(kind), &format!("types[{i}]"), "is no type of entry, such as `customer.merged`");
    }
    let (heartbeat, nanos) = body.heartbeat.as_ref().map_or((10, 0), |d| (d.seconds, d.nanos));
    let beats = HEARTBEATS.contains(&heartbeat) && (0..1_000_000_000).contains(&nanos);
    wrong.add_if(!beats, "heartbeat", "is not between 1 and 60 seconds");
    wrong.add_if(body.max_entries < 0, "max_entries", "is negative; give 0 for the default or a positive number");
    wrong.done()?;
    let from = if body.partitions.is_empty() {
        if body.from_now { WatchFrom::Now } else { WatchFrom::Oldest }
    } else {
        if !open.is_empty() {
            let begin = feed.begin(body.from_now).await?;
            cursors.extend(begin.into_iter().filter(|(partition, _)| open.contains(partition)));
        }
        WatchFrom::Cursors(cursors)
    };
    let max_entries = if body.max_entries == 0 { DEFAULT_ENTRIES } else { body.max_entries.min(MAX_ENTRIES) };
    Ok(Watch {
        from,
        kinds: body.types.clone(),
        tenant,
        heartbeat: Duration::from_secs(heartbeat.unsigned_abs()),
        max_entries: usize::try_from(max_entries).unwrap_or(1),
    })
}

/// Whether a text can be a type of entry, or the beginning of some.
fn is_kind(text: &str) -> bool {
    (1..=63).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || matches!(b, b'_' | b'.'))
}

/// A cursor is the revision that contains the partition up to the position. `None`: it is no such thing.
pub(super) fn read_cursor(service: Service, partition: u16, text: &str) -> Option<Option<Position>> {
    let revision: Revision = text.parse().ok()?;
    match (revision.is_empty(), revision.position(service, partition), revision.iter().count()) {
        (true, ..) => Some(None),
        (false, Some(position), 1) => Some(Some(position)),
        _ => None,
    }
}

pub(super) fn write_cursor(service: Service, partition: u16, position: Position) -> String {
    Revision::at(service, partition, position).to_string()
}

fn encode(service: Service, batch: FeedBatch, now: Timestamp) -> proto::WatchResponse {
    let cursor = |&(partition, position): &(u16, Position)| proto::PartitionCursor {
        partition: u32::from(partition),
        cursor: write_cursor(service, partition, position),
    };
    proto::WatchResponse {
        cursors: batch.cursors.iter().map(cursor).collect(),
        entries: batch.entries.into_iter().map(|entry| encode_entry(service, entry)).collect(),
        partition_count: u32::from(PARTITIONS),
        read_time: Some(timestamp(now)),
    }
}

fn encode_entry(service: Service, entry: Entry) -> proto::FeedEntry {
    proto::FeedEntry {
        cursor: write_cursor(service, entry.partition, entry.position),
        partition: u32::from(entry.partition),
        position: Some(proto::Position { xid: entry.position.xid, seq: entry.position.seq }),
        tenant: entry.tenant.as_str().to_owned(),
        customer_id: entry.customer.map(|customer| customer.to_string()).unwrap_or_default(),
        r#type: entry.kind.into_owned(),
        record_time: Some(timestamp(entry.at)),
        event: entry.event.event.is_some().then(|| Arc::unwrap_or_clone(entry.event)),
        actor: (*entry.actor).to_owned(),
    }
}

fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = at.parts();
    prost_types::Timestamp { seconds, nanos }
}
