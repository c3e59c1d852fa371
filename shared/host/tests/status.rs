//! Faults pass through services unchanged.

use std::time::Duration;

use host::{fault, status};
use proptest::prelude::*;
use terms::{Fault, FaultKind, Reason, Violation};
use tonic::{Code, Status};

const KEYS: [&str; 4] = ["customer_id", "namespace", "limit", "cycle"];

fn faults() -> impl Strategy<Value = Fault> {
    let violation = ("[a-z_]{1,8}(\\[[0-9]\\])?", "\\PC{1,30}");
    (
        0..Reason::ALL.len(),
        "\\PC{0,60}",
        prop::collection::vec(violation, 0..4),
        prop::collection::btree_map(0..KEYS.len(), "\\PC{0,20}", 0..4),
        prop::option::of(0u64..10_000_000_000),
    )
        .prop_map(|(reason, message, violations, metadata, retry)| {
            let reason = Reason::ALL[reason];
            let mut fault = Fault::new(reason, format!("about: {message}"));
            if reason.kind() != FaultKind::NotFound {
                let each = violations.into_iter().map(|(field, description)| Violation { field, description });
                fault = fault.violating(each);
            }
            for (key, value) in metadata {
                fault = fault.with(KEYS[key], value);
            }
            match retry {
                Some(micros) => fault.retry_after(Duration::from_micros(micros)),
                None => fault,
            }
        })
}

/// As it arrives at the other end of a connection.
fn travelled(status: &Status) -> Status {
    let mut headers = http::HeaderMap::new();
    status.add_header(&mut headers).unwrap();
    Status::from_header_map(&headers).unwrap()
}

fn sorted(fault: &Fault) -> Vec<(&str, &str)> {
    let mut metadata: Vec<_> = fault.metadata().iter().map(|(key, value)| (*key, value.as_str())).collect();
    metadata.sort_unstable();
    metadata
}

proptest! {
    #[test]
    fn a_fault_survives_the_wire(sent in faults()) {
        let (reason, message) = (sent.reason(), sent.message().to_owned());
        let violations = sent.violations().to_vec();
        let metadata: Vec<_> = sorted(&sent).into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let retry = sent.retry_delay();
        let status = status(sent);
        let received = fault(travelled(&status));
        prop_assert_eq!(received.reason(), reason);
        prop_assert_eq!(received.message(), message);
        prop_assert_eq!(received.violations(), violations.clone());
        let back: Vec<_> = sorted(&received).into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        prop_assert_eq!(back, metadata);
        if retry.is_some() {
            prop_assert_eq!(received.retry_delay(), retry);
        }
        // And again: nothing is added on the way.
        let again = fault(travelled(&host::status(received)));
        prop_assert_eq!(again.reason(), reason);
        prop_assert_eq!(again.violations(), violations);
    }

    #[test]
    fn no_status_panics(code in 0i32..17, message in "\\PC{0,60}", details: Vec<u8>) {
        let status = Status::with_details(Code::from(code), message, details.into());
        let _ = fault(status.clone());
        let _ = host::unreadable(status);
    }
}

#[test]
fn statuses_of_others_become_the_nearest_fault() {
    for (code, reason) in [
        (Code::Unavailable, Reason::PeerUnavailable),
        (Code::DeadlineExceeded, Reason::DeadlineExceeded),
        (Code::Cancelled, Reason::DeadlineExceeded),
        (Code::ResourceExhausted, Reason::Overloaded),
        (Code::Unimplemented, Reason::NotYetServed),
        (Code::Unknown, Reason::Internal),
    ] {
        assert_eq!(fault(Status::new(code, "x")).reason(), reason, "{code:?}");
    }
}

#[test]
fn not_yet_served_names_the_rpc() {
    let status = host::not_yet_served("rapport.identity.v1.IdentityService/TrainMatcher");
    assert_eq!(status.code(), Code::Unimplemented);
    let fault = fault(status);
    assert_eq!(fault.reason(), Reason::NotYetServed);
    assert_eq!(sorted(&fault), [("rpc", "rapport.identity.v1.IdentityService/TrainMatcher")]);
}

#[test]
fn every_reason_is_published_in_the_contract() {
    use rapport_proto::r#type::v1::ErrorReason;
    for reason in terms::Reason::ALL {
        let name = format!("ERROR_REASON_{}", reason.as_str());
        assert!(ErrorReason::from_str_name(&name).is_some(), "{name} is not in rapport.type.v1.ErrorReason");
    }
}

/// Headers hold about 8 KiB in all: whatever was sent, the refusal arrives.
#[test]
fn a_status_fits_into_headers() {
    let long = "é".repeat(70_000);
    let mut wrong = terms::Violations::new();
    for number in 0..20_000 {
        wrong.add(format!("items[{number}]"), format!("is wrong: {long}"));
    }
    let many = wrong.done().unwrap_err();
    let one =
        Fault::not_found(Reason::CustomerNotFound, format!("customer `{long}`")).with("customer_id", long.clone());
    let refused = Fault::new(Reason::SegmentCycle, long.clone()).with("cycle", long);
    for (sent, least) in [(many, 8), (one, 0), (refused, 0)] {
        let status = status(sent);
        let mut headers = http::HeaderMap::new();
        status.add_header(&mut headers).unwrap();
        let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        assert!(size < 8_000, "{size} bytes of headers");
        assert!(fault(travelled(&status)).violations().len() >= least);
    }
}
