//! The feed of a service that lives in another process.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use rapport_proto::feed::v1::{self as proto, feed_service_client::FeedServiceClient};
use terms::{Fault, Id, Position, Reason, Service, Timestamp};
use tonic::{
    Status,
    body::Body,
    client::GrpcService,
    codegen::{Body as HttpBody, Bytes, StdError},
};

use super::{
    Entry, FeedBatch, FeedSource, Watch, WatchFrom,
    server::{read_cursor, write_cursor},
};

/// A service's feed by gRPC, over a channel or whatever else carries it.
#[derive(Clone)]
pub struct RemoteFeed<T> {
    service: Service,
    peer: T,
    fault: fn(Status) -> Fault,
}

impl<T> RemoteFeed<T> {
    /// The feed of `service`, reached by `peer`; `fault` turns its statuses back into faults.
    pub fn new(service: Service, peer: T, fault: fn(Status) -> Fault) -> Self {
        Self { service, peer, fault }
    }
}

impl<T> fmt::Debug for RemoteFeed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteFeed").field("service", &self.service).finish_non_exhaustive()
    }
}

#[async_trait]
impl<T> FeedSource for RemoteFeed<T>
where
    T: GrpcService<Body> + Clone + Send + Sync + 'static,
    T::Error: Into<StdError>,
    T::Future: Send,
    T::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <T::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    fn service(&self) -> Service {
        self.service
    }

    async fn watch(&self, watch: Watch) -> Result<BoxStream<'static, Result<FeedBatch, Fault>>, Fault> {
        let mut client = FeedServiceClient::new(self.peer.clone()).max_decoding_message_size(64 << 20);
        let (service, fault) = (self.service, self.fault);
        // Twice a heartbeat of silence: the connection is dead, whatever the kernel thinks.
        let patience = watch.heartbeat * 2 + std::time::Duration::from_secs(5);
        let responses = client.watch(request(service, &watch)).await.map_err(fault)?.into_inner();
        let batches = stream::unfold(Some(responses), move |responses| async move {
            let mut responses = responses?;
            let next = tokio::time::timeout(patience, responses.next()).await;
            match next {
                Ok(Some(Ok(response))) => match decode(service, response) {
                    Ok(batch) => Some((Ok(batch), Some(responses))),
                    Err(fault) => Some((Err(fault), None)),
                },
                Ok(Some(Err(status))) => Some((Err(fault(status)), None)),
                Ok(None) => None,
                Err(_) => Some((Err(silent(service)), None)),
            }
        });
        Ok(batches.boxed())
    }
}

fn silent(service: Service) -> Fault {
    Fault::new(Reason::PeerUnavailable, format!("the feed of {service} fell silent"))
}

fn request(service: Service, watch: &Watch) -> proto::WatchRequest {
    let partitions = match &watch.from {
        WatchFrom::Cursors(cursors) => cursors
            .iter()
            .map(|&(partition, position)| proto::PartitionCursor {
                partition: u32::from(partition),
                cursor: write_cursor(service, partition, position),
            })
            .collect(),
        WatchFrom::Oldest | WatchFrom::Now => Vec::new(),
    };
    proto::WatchRequest {
        service: service.name().to_owned(),
        partitions,
        types: watch.kinds.clone(),
        from_now: watch.from == WatchFrom::Now,
        heartbeat: Some(prost_types::Duration {
            seconds: i64::try_from(watch.heartbeat.as_secs().clamp(1, 60)).unwrap_or(60),
            nanos: 0,
        }),
        max_entries: i32::try_from(watch.max_entries.clamp(1, 1_000)).unwrap_or(1_000),
    }
}

fn decode(service: Service, response: proto::WatchResponse) -> Result<FeedBatch, Fault> {
    let cursors = response.cursors.iter().map(|cursor| {
        let partition = u16::try_from(cursor.partition).map_err(Fault::internal)?;
        let position = read_cursor(service, partition, &cursor.cursor)
            .ok_or_else(|| Fault::internal("a cursor that this version cannot read"))?;
        Ok((partition, position.unwrap_or_default()))
    });
    let cursors = cursors.collect::<Result<Vec<_>, Fault>>()?;
    let entries = response.entries.into_iter().map(decode_entry).collect::<Result<Vec<_>, _>>()?;
    Ok(FeedBatch { entries, cursors, restarted: false })
}

fn decode_entry(entry: proto::FeedEntry) -> Result<Entry, Fault> {
    let position = entry.position.ok_or_else(|| Fault::internal("a feed entry without a position"))?;
    let at = entry.record_time.and_then(|t| Timestamp::from_parts(t.seconds, t.nanos));
    Ok(Entry {
        partition: u16::try_from(entry.partition).map_err(Fault::internal)?,
        position: Position { xid: position.xid, seq: position.seq },
        tenant: entry.tenant.parse().map_err(Fault::internal)?,
        customer: match entry.customer_id.as_str() {
            "" => None,
            id => Some(Id::parse("customer_id", id).map_err(Fault::internal)?),
        },
        kind: super::kind::intern(entry.r#type),
        actor: entry.actor.into(),
        at: at.unwrap_or_default(),
        event: Arc::new(entry.event.unwrap_or_default()),
    })
}
