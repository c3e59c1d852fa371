//! The shared level: one Redis hash per customer, `<prefix>:{tenant:customer}`.
//!
//! | field | what |
//! |---|---|
//! | `e` | the lease: names the incarnation of the hash, see `lease.lua` |
//! | `d0`…`d2` | a section: its stamp, then its message |
//! | `v0`…`v2` | the section's position in its owner's feed |
//! | `m0`…`m2` | its mark: anything older is stale |
//! | `t` | a tombstone |

mod connect;
mod hints;
mod layout;
mod lost;

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisResult, Script, ServerErrorKind, aio::ConnectionManager};
use terms::{Fault, Position};

pub(crate) use self::layout::View;
use self::{connect::Connections, lost::Lost};
pub use self::{connect::RedisOptions, hints::RedisHints};
use crate::{
    breaker::{Breaker, BreakerState},
    section::{Held, Key, Section},
};

/// How many marks go into one pipeline.
const BATCH: usize = 500;

pub(crate) struct Redis {
    connections: Connections,
    breaker: Breaker,
    prefix: String,
    timeout: Duration,
    ttl: Duration,
    tombstone_ttl: Duration,
    lost: Mutex<Lost>,
    scripts: Scripts,
}

struct Scripts {
    mark: Script,
    lease: Script,
    fill: Script,
    bury: Script,
}

impl Redis {
    pub(crate) fn open(options: &RedisOptions) -> Result<Arc<Self>, Fault> {
        let redis = Arc::new(Self {
            connections: Connections::open(options)?,
            breaker: Breaker::new(options.failures, options.rest),
            prefix: options.prefix.clone(),
            timeout: options.timeout,
            ttl: options.ttl,
            tombstone_ttl: options.tombstone_ttl,
            lost: Mutex::new(Lost::new(options.lost_marks)),
            scripts: Scripts {
                mark: Script::new(include_str!("mark.lua")),
                lease: Script::new(include_str!("lease.lua")),
                fill: Script::new(include_str!("fill.lua")),
                bury: Script::new(include_str!("bury.lua")),
            },
        });
        lost::retry(Arc::downgrade(&redis), options.rest);
        Ok(redis)
    }

    fn name(&self, key: &Key) -> String {
        layout::name(&self.prefix, key)
    }

    /// What Redis holds of the customer; `None` if it does not answer.
    pub(crate) async fn read(&self, key: &Key) -> Option<View> {
        let mut cmd = redis::cmd("HMGET");
        cmd.arg(self.name(key)).arg(&layout::FIELDS);
        let values: Vec<Option<Vec<u8>>> = self.ask(&cmd).await?;
        Some(View::decode(values))
    }

    /// The incarnation to fill; `None` if Redis does not answer, or for a tombstone.
    pub(crate) async fn lease(&self, key: &Key) -> Option<Vec<u8>> {
        let lease: Vec<u8> = self
            .guarded(async |mut redis| {
                let mut call = self.scripts.lease.key(self.name(key));
                call.arg(millis(self.ttl)).invoke_async(&mut redis).await
            })
            .await?;
        (!lease.is_empty()).then_some(lease)
    }

    /// Offers sections that were loaded under `lease`.
    pub(crate) async fn fill(&self, key: &Key, lease: &[u8], sections: &[(Section, Held)]) -> bool {
        let filled: Option<u32> = self
            .guarded(async |mut redis| {
                let mut call = self.scripts.fill.key(self.name(key));
                call.arg(lease);
                for (section, held) in sections {
                    call.arg(section.index()).arg(layout::digits(held.stamp.at(*section))).arg(layout::encode(held));
                }
                call.invoke_async(&mut redis).await
            })
            .await;
        filled.is_some()
    }

    /// Raises marks; those that do not get through are tried again later.
    pub(crate) async fn mark(&self, section: Section, marks: Vec<(Key, Position)>) {
        for batch in marks.chunks(BATCH) {
            let calls: Vec<_> = batch.iter().map(|(key, position)| (key, section, *position)).collect();
            if !self.send_marks(&calls).await {
                let mut lost = self.lost.lock();
                batch.iter().for_each(|(key, position)| lost.mark(key, section, *position));
            }
        }
    }

    async fn send_marks(&self, marks: &[(&Key, Section, Position)]) -> bool {
        let mut pipeline = Pipeline::with_capacity(marks.len());
        for (key, section, position) in marks {
            pipeline
                .cmd("EVALSHA")
                .arg(self.scripts.mark.get_hash())
                .arg(1)
                .arg(self.name(key))
                .arg(section.index())
                .arg(layout::digits(*position));
        }
        self.guarded(async |mut redis| match pipeline.query_async::<()>(&mut redis).await {
            Err(error) if is_no_script(&error) => {
                self.scripts.mark.load_async(&mut redis).await?;
                pipeline.query_async::<()>(&mut redis).await
            }
            outcome => outcome,
        })
        .await
        .is_some()
    }

    /// Leaves a tombstone; tried again later if it does not get through.
    pub(crate) async fn bury(&self, key: &Key) {
        if !self.send_tombstone(key).await {
            self.lost.lock().bury(key);
        }
    }

    async fn send_tombstone(&self, key: &Key) -> bool {
        let buried: Option<u32> = self
            .guarded(async |mut redis| {
                let mut call = self.scripts.bury.key(self.name(key));
                call.arg(millis(self.tombstone_ttl)).invoke_async(&mut redis).await
            })
            .await;
        buried.is_some()
    }

    pub(crate) fn state(&self) -> BreakerState {
        self.breaker.state()
    }

    pub(crate) fn times_opened(&self) -> u64 {
        self.breaker.opened()
    }

    pub(crate) fn marks_lost(&self) -> u64 {
        self.lost.lock().dropped()
    }

    pub(crate) async fn ping(&self) -> bool {
        self.ask::<String>(&redis::cmd("PING")).await.is_some()
    }

    async fn ask<T: redis::FromRedisValue>(&self, cmd: &Cmd) -> Option<T> {
        self.guarded(async |mut redis| cmd.query_async(&mut redis).await).await
    }

    /// Runs one exchange within the timeout, if the breaker lets it through.
    async fn guarded<T>(&self, exchange: impl AsyncFnOnce(ConnectionManager) -> RedisResult<T>) -> Option<T> {
        let permit = self.breaker.admit()?;
        match tokio::time::timeout(self.timeout, exchange(self.connections.next())).await {
            Ok(Ok(value)) => {
                if permit.succeeded() {
                    tracing::info!("Redis answers again");
                }
                Some(value)
            }
            outcome => {
                let cause = match outcome {
                    Ok(Err(error)) => error.to_string(),
                    _ => format!("no answer within {:?}", self.timeout),
                };
                if permit.failed() {
                    tracing::warn!(cause, "Redis does not answer: profiles are read from their owners");
                }
                None
            }
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

fn is_no_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}
