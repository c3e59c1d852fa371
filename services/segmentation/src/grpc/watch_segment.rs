//! `WatchSegment`.

use std::{collections::HashSet, sync::Arc};

use data::{Entry, FeedBatch, FeedSource, Watch, WatchFrom};
use futures::{Stream, StreamExt, stream::BoxStream};
use host::{Call, encode::timestamp};
use rapport_proto::{
    feed::v1::{MembershipChanged, event::Event},
    segmentation::v1::{MembershipTransition, WatchSegmentRequest, WatchSegmentResponse},
};
use segmentation_domain::{
    catalog::Catalog,
    membership::Reason as Why,
    ports::Store,
    segment::{SegmentId, SegmentRef},
};
use terms::{CustomerId, Fault, PARTITIONS, Position, Reason, Revision, Service, Violations};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Ports, decode};
use crate::encode;

/// Members in one message.
const PAGE: usize = 1_000;

type Batches = BoxStream<'static, Result<FeedBatch, Fault>>;
type Replies = mpsc::Sender<Result<WatchSegmentResponse, Fault>>;

pub(super) async fn watch_segment(
    ports: Arc<Ports>,
    call: Call,
    body: WatchSegmentRequest,
) -> Result<impl Stream<Item = Result<WatchSegmentResponse, Fault>> + Send + 'static, Fault> {
    let mut wrong = Violations::new();
    let which = match body.segment.as_str() {
        "" => None,
        given => wrong.take(SegmentRef::parse("segment", given)),
    };
    let cursor = wrong.take(cursor(&body.cursor));
    wrong.done()?;
    let cursor = decode::checked(cursor)?;
    let catalog = ports.segments.catalog(call.tenant()).await?;
    let segment = which.map(|which| catalog.find(&which).map(|segment| segment.id)).transpose()?;
    let from = match cursor.is_empty() {
        true => WatchFrom::Now,
        false => WatchFrom::Cursors(positions(&cursor)),
    };
    let include_members = body.include_members && cursor.is_empty();
    let watch = Watch { tenant: Some(call.tenant().clone()), kinds: kinds(), ..Watch::new(from) };
    let batches = ports.segments.database.feed().watch(watch).await?;
    let (replies, stream) = mpsc::channel(4);
    let watching = Watching { ports, call, catalog, segment, cursor, sent: HashSet::new(), sent_until: None };
    tokio::spawn(watching.run(batches, include_members, replies));
    Ok(ReceiverStream::new(stream))
}

fn kinds() -> Vec<String> {
    vec!["membership.changed".to_owned()]
}

/// A cursor is a revision of this service's own feed.
fn cursor(text: &str) -> Result<Revision, Fault> {
    let foreign =
        || Fault::invalid("cursor", Reason::InvalidFields, "is no cursor of this stream; pass one on as it was sent");
    let cursor: Revision = text.parse().map_err(|_| foreign())?;
    let own = cursor.iter().all(|(service, ..)| service == Service::Segmentation);
    if own { Ok(cursor) } else { Err(foreign()) }
}

fn positions(cursor: &Revision) -> Vec<(u16, Position)> {
    (0..PARTITIONS).map(|p| (p, cursor.position(Service::Segmentation, p).unwrap_or(Position::START))).collect()
}

/// One watcher.
struct Watching {
    ports: Arc<Ports>,
    call: Call,
    catalog: Arc<Catalog>,
    segment: Option<SegmentId>,
    cursor: Revision,
    /// Members that were sent, and up to where in the feed their entries may still come: the feed follows what is
    /// visible with a delay, and nobody is sent twice.
    sent: HashSet<(SegmentId, CustomerId, i64)>,
    sent_until: Option<Position>,
}

impl Watching {
    /// Sends until the feed ends, the caller goes away, or the process does.
    async fn run(mut self, mut batches: Batches, include_members: bool, replies: Replies) {
        let shutdown = self.ports.shutdown.clone();
        let work = async {
            if include_members {
                // The feed is open: whatever happens from here on comes through it.
                if let Some(Ok(first)) = batches.next().await {
                    self.advance(&first);
                    let outcome = self.send_members(&replies).await;
                    let kept = self.transitions(first.entries);
                    self.reply(outcome.map(|()| kept), &replies).await?;
                }
            }
            while let Some(batch) = batches.next().await {
                let batch = batch.map(|batch| {
                    self.advance(&batch);
                    self.transitions(batch.entries)
                });
                self.reply(batch, &replies).await?;
            }
            Some(())
        };
        tokio::select! {
            _ = work => {}
            () = replies.closed() => {}
            () = shutdown.cancelled() => {
                let message = "the server is going away; go on elsewhere with the cursor";
                let _ = replies.try_send(Err(Fault::new(Reason::ShuttingDown, message)));
            }
        }
    }

    fn advance(&mut self, batch: &FeedBatch) {
        for (partition, position) in &batch.cursors {
            self.cursor.raise(Service::Segmentation, *partition, *position);
        }
    }

    /// `None` when nobody listens any more, or when the stream has ended with a fault.
    async fn reply(&self, told: Result<Vec<MembershipTransition>, Fault>, replies: &Replies) -> Option<()> {
        let failed = told.is_err();
        let reply = told.map(|transitions| WatchSegmentResponse { transitions, cursor: self.cursor.to_string() });
        replies.send(reply).await.ok().filter(|()| !failed)
    }

    /// Sends present members as having entered. The cursor stays where the feed was opened.
    async fn send_members(&mut self, replies: &Replies) -> Result<(), Fault> {
        let segments: Vec<SegmentId> = match self.segment {
            Some(segment) => vec![segment],
            None => self.catalog.living().map(|segment| segment.id).collect(),
        };
        for segment in segments {
            let mut after = None;
            loop {
                let store = &self.ports.segments;
                let members = store.members(self.call.tenant(), segment, None, after, PAGE).await?;
                let Some((last, _)) = members.last() else { break };
                after = Some(*last);
                let more = members.len() == PAGE;
                let mut transitions = Vec::with_capacity(members.len());
                for (customer, since) in members {
                    self.sent.insert((segment, customer, since.micros()));
                    transitions.push(MembershipTransition {
                        segment_id: segment.to_string(),
                        segment: self.catalog.get(segment).map(|s| s.name.clone()).unwrap_or_default(),
                        customer_id: customer.to_string(),
                        entered: true,
                        occurred_at: Some(timestamp(since)),
                        record_time: Some(timestamp(self.ports.clock.now())),
                        version: self.catalog.get(segment).map_or(0, |s| s.version),
                        ..MembershipTransition::default()
                    });
                }
                let reply = WatchSegmentResponse { transitions, cursor: self.cursor.to_string() };
                if replies.send(Ok(reply)).await.is_err() || !more {
                    break;
                }
            }
        }
        self.sent_until = Some(self.ports.segments.frontier().await?);
        Ok(())
    }

    fn transitions(&mut self, entries: Vec<Entry>) -> Vec<MembershipTransition> {
        let mut told = Vec::new();
        for entry in entries {
            let Some(Event::MembershipChanged(changed)) = entry.change() else { continue };
            let wanted = self.segment.is_none_or(|segment| changed.segment_id.parse() == Ok(segment));
            if wanted && !self.was_sent(&entry, changed) {
                told.push(transition(&entry, changed));
            }
        }
        told
    }

    fn was_sent(&mut self, entry: &Entry, changed: &MembershipChanged) -> bool {
        if self.sent.is_empty() {
            return false;
        }
        if self.sent_until.is_some_and(|until| entry.position > until) {
            self.sent.clear();
            return false;
        }
        let at = changed.occurred_at.and_then(|at| terms::Timestamp::from_parts(at.seconds, at.nanos));
        match (changed.segment_id.parse(), changed.customer_id.parse(), at) {
            (Ok(segment), Ok(customer), Some(at)) if changed.entered => {
                self.sent.contains(&(segment, customer, at.micros()))
            }
            _ => false,
        }
    }
}

fn transition(entry: &Entry, changed: &MembershipChanged) -> MembershipTransition {
    MembershipTransition {
        segment_id: changed.segment_id.clone(),
        segment: changed.segment.clone(),
        customer_id: changed.customer_id.clone(),
        entered: changed.entered,
        reason: Why::from_word(&changed.reason).map_or(0, |why| encode::reason(why).into()),
        cause_id: changed.cause_id.clone(),
        occurred_at: changed.occurred_at,
        record_time: Some(timestamp(entry.at)),
        version: changed.version,
    }
}
