//! A peer in this process: its generated server, called directly.

use std::{error::Error as _, panic::AssertUnwindSafe, sync::Arc};

use futures::FutureExt as _;
use http::{Request, Response};
use terms::Fault;
use tokio::time::timeout_at;
use tonic::{Status, body::Body};

use super::Behalf;
use crate::{
    Call, Rpc,
    call::log,
    edge::{late, panicked},
    routes::Handler,
    status,
    trace::TraceParent,
};

/// Serves the request as the edge would, but for what it already knows: who calls, and that they may.
pub(super) async fn call(
    handler: &Arc<dyn Handler>,
    rpc: Rpc,
    mut request: Request<Body>,
    behalf: &Behalf,
    trace: Option<TraceParent>,
) -> Response<Body> {
    let call = Call {
        caller: behalf.caller.clone(),
        deadline: behalf.deadline,
        request_id: behalf.request_id.clone(),
        rpc: rpc.name,
        trace,
    };
    // Servers that no service owns look at the caller alone.
    request.extensions_mut().insert(call.caller.clone());
    request.extensions_mut().insert(call);
    let work = AssertUnwindSafe(async { handler.handle(request).await }).catch_unwind();
    let done = match behalf.deadline.filter(|_| rpc.unary()) {
        Some(at) => timeout_at(at, work).await,
        None => Ok(work.await),
    };
    let fault = match done {
        Ok(Ok(Ok(response))) => {
            // The caller hears the fault by its details; its cause ends here, so it is logged here.
            let status = response.extensions().get::<Status>();
            if let Some(fault) = status.and_then(|s| s.source()).and_then(|source| source.downcast_ref::<Fault>()) {
                log(rpc.name, &behalf.request_id, trace.as_ref(), fault);
            }
            return response;
        }
        Ok(Ok(Err(never))) => match never {},
        Ok(Err(_panic)) => panicked(),
        Err(_elapsed) => late(),
    };
    log(rpc.name, &behalf.request_id, trace.as_ref(), &fault);
    status::status(fault).into_http()
}
