//! What the tests of the host share: a small service that does as it is told, behind a real server.
#![allow(dead_code, reason = "each test uses its share")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::StreamExt as _;
use host::{
    Built, Call, Check, Config, Context, Peers, Replies, Routes, Rule, Running, Server, Shared, Suite, config::Loader,
};
use rapport_proto::{
    feed::v1::{
        WatchRequest, WatchResponse,
        feed_service_server::{FeedService, FeedServiceServer},
    },
    profile::v1::{
        GetDialogueRequest, GetDialogueResponse, GetSectionRequest, GetSectionResponse, ResolveRefsRequest,
        ResolveRefsResponse,
        profile_service_client::ProfileServiceClient,
        profile_service_server::{ProfileService, ProfileServiceServer},
    },
};
use terms::{Access, Caller, Fault, Ids, Reason, Service, SystemClock, Violations};
use tokio::sync::{Notify, mpsc};
use tonic::{
    Request, Response, Status,
    transport::{Channel, Endpoint},
};

#[path = "../../../testkit/src/credentials.rs"]
pub mod credentials;
pub mod rsa;

/// Does what the customer's id in the request says.
#[derive(Clone)]
pub struct Puppet {
    pub peers: Peers,
    /// Lets `wait` go on.
    pub go: Arc<Notify>,
    /// Told when `wait` has begun, and when it is given up.
    pub told: mpsc::UnboundedSender<&'static str>,
    /// Calls of `flaky` so far.
    pub tried: Arc<AtomicU32>,
}

struct Gone(mpsc::UnboundedSender<&'static str>);

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = self.0.send("gone");
    }
}

impl Puppet {
    async fn act(&self, call: Call, body: GetSectionRequest) -> Result<GetSectionResponse, Fault> {
        let (word, rest) = body.customer_id.split_once(' ').unwrap_or((&body.customer_id, ""));
        let text = match word {
            "who" => format!(
                "{} {} {} {:?} {}",
                call.caller.tenant,
                call.caller.subject,
                call.request_id,
                call.deadline.is_some(),
                call.rpc
            ),
            "trace" => call.trace.map(|trace| trace.header()).unwrap_or_default(),
            "panic" => panic!("as told"),
            "internal" => return Err(Fault::internal("the cause, for the log alone")),
            "wrong" => {
                let mut wrong = Violations::new();
                wrong.add("a", "is wrong");
                wrong.add("b.c", "is wrong too");
                return Err(wrong.done().unwrap_err());
            }
            "missing" => {
                return Err(Fault::not_found(Reason::CustomerNotFound, "customer").with("customer_id", "cust_1"));
            }
            "unavailable" => return Err(Fault::new(Reason::StoreUnavailable, "away")),
            "flaky" if self.tried.fetch_add(1, Ordering::Relaxed) < rest.parse().unwrap() => {
                return Err(Fault::new(Reason::StoreUnavailable, "not yet"));
            }
            "flaky" => "at last".to_owned(),
            "wait" => {
                let _gone = Gone(self.told.clone());
                let _ = self.told.send("waiting");
                self.go.notified().await;
                "went on".to_owned()
            }
            "large" => "x".repeat(rest.parse().unwrap()),
            "peer" => {
                let peer = self.peers.get(Service::Interaction).for_call(&call);
                let request = GetSectionRequest { customer_id: rest.to_owned(), ..Default::default() };
                let answer = ProfileServiceClient::new(peer).get_section(request).await.map_err(host::fault)?;
                return Ok(answer.into_inner());
            }
            other => format!("said {other}"),
        };
        Ok(GetSectionResponse { section: text.into_bytes().into(), ..Default::default() })
    }
}

#[tonic::async_trait]
impl ProfileService for Puppet {
    async fn get_section(&self, request: Request<GetSectionRequest>) -> Result<Response<GetSectionResponse>, Status> {
        host::unary(request, |call, body| self.act(call, body)).await
    }

    async fn resolve_refs(&self, _: Request<ResolveRefsRequest>) -> Result<Response<ResolveRefsResponse>, Status> {
        Err(host::not_yet_served("rapport.profile.v1.ProfileService/ResolveRefs"))
    }

    async fn get_dialogue(&self, _: Request<GetDialogueRequest>) -> Result<Response<GetDialogueResponse>, Status> {
        Err(host::not_yet_served("rapport.profile.v1.ProfileService/GetDialogue"))
    }
}

/// Streams as it is told by the service's name: `forever`, `three`, `fault`, `panic`.
#[tonic::async_trait]
impl FeedService for Puppet {
    type WatchStream = Replies<WatchResponse>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let known = request.extensions().get::<Caller>().is_some();
        host::server_stream(request, async move |_call, body| {
            if !known {
                return Err(Fault::internal("no caller"));
            }
            let count = |n: u32| WatchResponse { partition_count: n, ..Default::default() };
            let items = futures::stream::iter(1..=3).map(move |n| Ok(count(n)));
            Ok(match body.service.as_str() {
                "forever" => items.chain(futures::stream::pending()).boxed(),
                "fault" => items.chain(futures::stream::iter([Err(Fault::internal("broke")), Ok(count(9))])).boxed(),
                "panic" => items.chain(futures::stream::poll_fn(|_| panic!("as told"))).boxed(),
                "refuse" => return Err(Fault::new(Reason::FeedCursorExpired, "too old")),
                _ => items.boxed(),
            })
        })
        .await
    }
}

pub const ACCESS: &[(&str, Access)] = &[("rapport.profile.v1.ProfileService/GetSection", Access::Write)];
/// Of a service whose table is whole.
pub const WHOLE: &[(&str, Access)] = &[
    ("rapport.profile.v1.ProfileService/GetSection", Access::Write),
    ("rapport.profile.v1.ProfileService/ResolveRefs", Access::Read),
    ("rapport.profile.v1.ProfileService/GetDialogue", Access::Read),
];

/// A server with the puppet behind it.
pub struct Host {
    pub running: Option<Running>,
    pub context: Context,
    pub puppet: Puppet,
    pub told: mpsc::UnboundedReceiver<&'static str>,
}

pub fn loader() -> Loader {
    Loader::new().flag("test", "server.address", "127.0.0.1:0").flag("test", "server.linger", "0").flag(
        "test",
        "server.drain",
        "5s",
    )
}

pub fn ids() -> Arc<Ids> {
    Arc::new(Ids::new(Arc::new(SystemClock)))
}

pub fn context(config: Config) -> Context {
    Context::new(Arc::new(config), Arc::new(SystemClock), ids())
}

impl Host {
    pub async fn start(loader: Loader) -> Self {
        Self::with(context(loader.load().unwrap_or_else(|e| panic!("{e}"))), Vec::new()).await
    }

    pub async fn with(context: Context, checks: Vec<Check>) -> Self {
        let server = Server::bind(&context.config).await.unwrap();
        let (tell, told) = mpsc::unbounded_channel();
        let puppet =
            Puppet { peers: context.peers.clone(), go: Arc::new(Notify::new()), told: tell, tried: Arc::default() };
        let waits = checks.is_empty();
        let built = Built {
            name: Service::Identity,
            routes: profile(&context, &puppet),
            access: ACCESS,
            tasks: Vec::new(),
            checks,
            unserved: &[],
        };
        let feed = Shared {
            routes: Routes::new().add(FeedServiceServer::new(puppet.clone())),
            access: vec![("rapport.feed.v1.FeedService/Watch", Rule::Authenticated)],
        };
        let running = server.serve(&context, Suite { built: vec![built], shared: vec![feed] }).unwrap();
        if waits {
            assert!(running.ready().await);
        }
        Self { running: Some(running), context, puppet, told }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.running.as_ref().unwrap().address())
    }

    pub fn channel(&self) -> Channel {
        Endpoint::from_shared(self.url()).unwrap().connect_lazy()
    }

    pub fn client(&self) -> ProfileServiceClient<Channel> {
        ProfileServiceClient::new(self.channel()).max_decoding_message_size(64 << 20)
    }

    /// What the puppet answers to `text`.
    pub async fn say(&self, text: &str) -> Result<String, Status> {
        say(&mut self.client(), request(text)).await
    }
}

pub fn profile(context: &Context, puppet: &Puppet) -> Routes {
    Routes::new().add(host::tuned!(context, ProfileServiceServer::new(puppet.clone())))
}

pub fn request(text: &str) -> Request<GetSectionRequest> {
    Request::new(GetSectionRequest { customer_id: text.to_owned(), ..Default::default() })
}

/// The same with headers.
pub fn request_with(text: &str, headers: &[(&'static str, &str)]) -> Request<GetSectionRequest> {
    let mut request = request(text);
    for (name, value) in headers {
        request.metadata_mut().insert(*name, value.parse().unwrap());
    }
    request
}

pub async fn say(
    client: &mut ProfileServiceClient<Channel>,
    request: Request<GetSectionRequest>,
) -> Result<String, Status> {
    let reply = client.get_section(request).await?;
    Ok(String::from_utf8(reply.into_inner().section.to_vec()).unwrap())
}

/// The reason in a status's `google.rpc.ErrorInfo`.
pub fn reason(status: &Status) -> String {
    use tonic_types::StatusExt as _;
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

/// Waits, within reason.
pub async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("within 20 s")
}
