//! The body of a streaming reply: watched until it ends, and ended when the deadline passes or the server goes away.

use std::{
    future::Future as _,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use terms::{Fault, Reason};
use tokio::time::{Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Code, Status, body::Body};

use super::{limits::Place, measure::Measure};
use crate::Call;

/// A streaming reply under way.
pub(super) struct StreamBody {
    inner: Body,
    call: Call,
    measure: Measure,
    deadline: Option<Pin<Box<Sleep>>>,
    draining: Pin<Box<WaitForCancellationFutureOwned>>,
    ended: bool,
    _place: Place,
}

impl StreamBody {
    pub(super) fn watch(inner: Body, call: Call, measure: Measure, draining: CancellationToken, place: Place) -> Body {
        let deadline = call.deadline.map(|at| Box::pin(sleep_until(at)));
        let draining = Box::pin(draining.cancelled_owned());
        Body::new(Self { inner, call, measure, deadline, draining, ended: false, _place: place })
    }

    /// Ends the stream by a fault of the host's own.
    fn end(&mut self, fault: Fault) -> Frame<Bytes> {
        self.ended = true;
        let status = self.call.fail(fault);
        self.measure.end(status.code());
        let mut trailers = HeaderMap::new();
        if status.add_header(&mut trailers).is_err() {
            // Only the details can be too odd for a header; the code always fits.
            let _ = Status::new(status.code(), "").add_header(&mut trailers);
        }
        Frame::trailers(trailers)
    }

    fn pass(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        if let Some(trailers) = frame.trailers_ref() {
            self.ended = true;
            let code = trailers.get("grpc-status").map_or(Code::Ok, |value| Code::from_bytes(value.as_bytes()));
            self.measure.end(code);
        }
        frame
    }

    /// Whether there is a reason to end it from outside.
    fn outside(&mut self, cx: &mut Context<'_>) -> Option<Fault> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Some(super::late());
        }
        if self.draining.as_mut().poll(cx).is_ready() {
            let message = "this server is going away; connect again and go on from the last cursor";
            return Some(Fault::new(Reason::ShuttingDown, message));
        }
        None
    }
}

impl HttpBody for StreamBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        let span = this.measure.span().clone();
        let polled = span.in_scope(|| {
            let inner = &mut this.inner;
            catch_unwind(AssertUnwindSafe(|| Pin::new(inner).poll_frame(cx)))
        });
        match polled {
            Err(_) => Poll::Ready(Some(Ok(this.end(super::panicked())))),
            Ok(Poll::Ready(Some(Ok(frame)))) => Poll::Ready(Some(Ok(this.pass(frame)))),
            Ok(Poll::Ready(Some(Err(status)))) => {
                this.ended = true;
                this.measure.end(status.code());
                Poll::Ready(Some(Err(status)))
            }
            Ok(Poll::Ready(None)) => {
                this.ended = true;
                this.measure.end(Code::Ok);
                Poll::Ready(None)
            }
            Ok(Poll::Pending) => match this.outside(cx) {
                Some(fault) => Poll::Ready(Some(Ok(this.end(fault)))),
                None => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
