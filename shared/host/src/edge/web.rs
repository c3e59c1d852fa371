//! gRPC-Web: translation, and what browsers ask before they call (CORS).

use std::{convert::Infallible, sync::Arc};

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use tonic::body::Body;
use tonic_web::GrpcWebLayer;
use tower::{Layer as _, ServiceExt as _, service_fn};

use super::Edge;
use crate::auth::Credential;

/// Which origins may call.
#[derive(Debug)]
pub(super) struct Web {
    origins: Vec<String>,
}

/// What a page may read of a reply.
const EXPOSED: HeaderValue = HeaderValue::from_static("grpc-status,grpc-message,grpc-status-details-bin,x-request-id");
/// For how long a browser remembers the answer; seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

impl Web {
    pub(super) fn new(origins: &[String]) -> Self {
        Self { origins: origins.to_vec() }
    }

    /// Whether a request is of gRPC-Web, or a browser's question before one.
    pub(super) fn concerns(method: &Method, headers: &HeaderMap) -> bool {
        if method == Method::OPTIONS {
            return headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        }
        let content = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        content.starts_with(b"application/grpc-web")
    }

    pub(super) async fn serve(
        &self,
        edge: Arc<Edge>,
        request: Request<Body>,
        client: Option<Arc<Credential>>,
    ) -> Response<Body> {
        let origin = request.headers().get(header::ORIGIN).cloned();
        let allowed = origin.as_ref().is_none_or(|origin| self.allows(origin));
        if !allowed {
            return plain(StatusCode::FORBIDDEN);
        }
        let mut response = if request.method() == Method::OPTIONS {
            preflight(request.headers())
        } else {
            let call = service_fn(move |request: Request<Body>| {
                let (edge, client) = (edge.clone(), client.clone());
                async move { Ok::<_, Infallible>(edge.grpc(request, client.as_deref()).await) }
            });
            match GrpcWebLayer::new().layer(call).oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        };
        if let Some(origin) = origin {
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
        response
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        self.origins.iter().any(|known| known == "*" || known.as_bytes() == origin.as_bytes())
    }
}

fn preflight(asked: &HeaderMap) -> Response<Body> {
    let mut response = plain(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    if let Some(names) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    response
}

pub(super) fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
