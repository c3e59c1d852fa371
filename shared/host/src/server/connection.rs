//! Connections: taken, served, asked to end when old or when the server goes away.

use std::{
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{error::Elapsed, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::body::Body;

use super::tls::Certificates;
use crate::{
    auth::{Credential, Directory, names},
    config::Server,
    edge::Edge,
};

/// How long a connection may take to say its first byte, or to agree on TLS.
const GREETING: Duration = Duration::from_secs(10);

/// Takes connections until told to stop.
pub(super) struct Acceptor {
    pub(super) edge: Arc<Edge>,
    pub(super) tls: Option<Arc<Certificates>>,
    pub(super) clients: Arc<Directory>,
    pub(super) http: Builder<TokioExecutor>,
    /// How old a connection may grow.
    pub(super) age: Option<Duration>,
    pub(super) most: usize,
    /// Cancelled when no more are taken and open ones are to end.
    pub(super) stop: CancellationToken,
    /// Cancelled when open ones are cut off.
    pub(super) cut: CancellationToken,
    /// Those that are open.
    pub(super) open: TaskTracker,
}

impl Acceptor {
    /// The HTTP settings of every connection.
    pub(super) fn http(settings: &Server) -> Builder<TokioExecutor> {
        let mut http = Builder::new(TokioExecutor::new());
        if !settings.grpc_web {
            http = http.http2_only();
        }
        let keep_alive = (!settings.keep_alive.is_zero()).then(|| settings.keep_alive.get());
        http.http2()
            .timer(TokioTimer::new())
            .initial_connection_window_size(1 << 20)
            .initial_stream_window_size(1 << 20)
            .max_concurrent_streams(settings.max_streams_per_connection)
            .max_header_list_size(32 << 10)
            .keep_alive_interval(keep_alive)
            .keep_alive_timeout(settings.keep_alive_timeout.get());
        http.http1().timer(TokioTimer::new());
        http
    }

    /// Takes connections from `listener`; ends when told to, the listener with it.
    pub(super) async fn run(self, listener: TcpListener) {
        let this = Arc::new(self);
        let places = Arc::new(Semaphore::new(this.most.min(Semaphore::MAX_PERMITS)));
        loop {
            let accepted = tokio::select! {
                () = this.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, mostly: open connections must end first.
                    tracing::warn!(%error, "a connection could not be taken");
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let Ok(place) = places.clone().try_acquire_owned() else {
                tracing::warn!(most = this.most, "a connection was refused: there are as many as may be");
                continue;
            };
            let this = this.clone();
            this.open.clone().spawn(async move {
                tokio::select! {
                    () = this.cut.cancelled() => {}
                    () = this.connection(stream) => {}
                }
                drop(place);
            });
        }
    }

    async fn connection(&self, stream: TcpStream) {
        // Small frames must leave at once; a peer that is silently gone must be noticed.
        let _ = stream.set_nodelay(true);
        match &self.tls {
            None => match self.greeting(stream.readable()).await {
                Ok(Ok(())) => self.serve(stream, None).await,
                _ => tracing::debug!("a connection said nothing and was closed"),
            },
            Some(tls) => match self.greeting(tls.current().accept(stream)).await {
                Ok(Ok(stream)) => {
                    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
                    let client = certificate.and_then(|der| self.clients.find(&names(der))).map(Arc::new);
                    self.serve(stream, client).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "a connection did not agree on TLS"),
                Err(_) => tracing::debug!("a connection took too long to agree on TLS"),
            },
        }
    }

    /// Waits for a first sign of life; not while the server goes away.
    async fn greeting<T>(&self, sign: impl Future<Output = T>) -> Result<T, Elapsed> {
        let wait = timeout(GREETING, sign);
        tokio::select! {
            answer = wait => answer,
            never = async { self.stop.cancelled().await; timeout(Duration::ZERO, std::future::pending()).await } => never,
        }
    }

    async fn serve<S>(&self, stream: S, client: Option<Arc<Credential>>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let edge = self.edge.clone();
        let service = service_fn(move |request| answer(edge.clone(), client.clone(), request));
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), service));
        let mut age = pin!(grown(self.age));
        let mut stopped = pin!(self.stop.cancelled());
        let mut asked = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(error, "a connection ended early");
                    }
                    return;
                }
                () = age.as_mut(), if !asked => asked = true,
                () = stopped.as_mut(), if !asked => asked = true,
            }
            // Says GOAWAY: requests under way go on, new ones go to another connection.
            connection.as_mut().graceful_shutdown();
        }
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

fn answer(edge: Arc<Edge>, client: Option<Arc<Credential>>, request: Request<Incoming>) -> Answer {
    Box::pin(async move { Ok(edge.serve(request.map(Body::new), client).await) })
}

async fn grown(age: Option<Duration>) {
    match age {
        Some(age) => sleep(age).await,
        None => std::future::pending().await,
    }
}
