//! Wake-ups for followers. A hint may be lost or come twice; polling is the truth.

use std::fmt;

use terms::Service;
use tokio::sync::watch;

/// Carries "there is something new in this service's feed".
pub trait Hints: Send + Sync + fmt::Debug {
    /// Tells of something new. Must not block.
    fn wake(&self, service: Service);

    /// Hears of it.
    fn listen(&self, service: Service) -> Listener;

    /// Whether hints reach every process that follows, so that polling can be slow.
    fn reach_all(&self) -> bool {
        false
    }
}

/// Hints inside of one process. An adapter that crosses processes hands what it hears to one of these.
#[derive(Debug, Default)]
pub struct LocalHints {
    rounds: [watch::Sender<u64>; Service::ALL.len()],
}

impl LocalHints {
    fn round(&self, service: Service) -> Option<&watch::Sender<u64>> {
        Service::ALL.iter().position(|s| *s == service).and_then(|place| self.rounds.get(place))
    }
}

impl Hints for LocalHints {
    fn wake(&self, service: Service) {
        if let Some(round) = self.round(service) {
            round.send_modify(|n| *n = n.wrapping_add(1));
        }
    }

    fn listen(&self, service: Service) -> Listener {
        Listener(self.round(service).map(watch::Sender::subscribe))
    }
}

/// Waits for hints.
#[derive(Debug)]
pub struct Listener(Option<watch::Receiver<u64>>);

impl Listener {
    /// Returns when a hint has come since the last call.
    pub async fn woken(&mut self) {
        if let Some(round) = &mut self.0
            && round.changed().await.is_ok()
        {
            return;
        }
        // Nobody is left to give one.
        std::future::pending().await
    }
}
