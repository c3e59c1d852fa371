//! The one list of what is declared and not served.

use std::{collections::BTreeSet, sync::LazyLock};

use it::{
    app::App,
    contract::rpcs,
    raw::{self, Refusal},
    samples::{self, Sample},
    suite::Shape,
};
use prost_reflect::DynamicMessage;
use terms::Access;
use tonic::Code;

/// Declared and not served, by the services' own lists.
pub(crate) static NOT_YET_SERVED: LazyLock<BTreeSet<&str>> = LazyLock::new(|| {
    let lists = [
        identity::NOT_YET_SERVED,
        interaction::NOT_YET_SERVED,
        segmentation::NOT_YET_SERVED,
        customization::NOT_YET_SERVED,
    ];
    lists.into_iter().flatten().copied().collect()
});

/// What an RPC of the four services needs.
pub(crate) fn access(rpc: &str) -> Access {
    let tables = [identity::ACCESS, interaction::ACCESS, segmentation::ACCESS, customization::ACCESS];
    let entry = tables.into_iter().flatten().find(|(name, _)| *name == rpc);
    entry.unwrap_or_else(|| panic!("{rpc} has no entry in an ACCESS table")).1
}

#[test]
fn every_rpc_has_one_access_entry_and_no_entry_is_of_no_rpc() {
    let declared: Vec<&str> = rpcs().iter().filter(|rpc| rpc.is_public()).map(|rpc| rpc.name.as_str()).collect();
    let tables = [identity::ACCESS, interaction::ACCESS, segmentation::ACCESS, customization::ACCESS];
    let mut entries: Vec<&str> = tables.into_iter().flatten().map(|(name, _)| *name).collect();
    entries.sort_unstable();
    let mut expected = declared;
    expected.sort_unstable();
    assert_eq!(entries, expected);
}

#[test]
fn every_rpc_that_is_served_has_a_sample() {
    let without: Vec<&str> = rpcs()
        .iter()
        .map(|rpc| rpc.name.as_str())
        .filter(|name| !NOT_YET_SERVED.contains(name) && Sample::of(name).is_none())
        .collect();
    assert!(without.is_empty(), "no sample request in samples.rs: {without:?}");
    for sample in samples::all() {
        assert!(rpcs().iter().any(|rpc| rpc.name == sample.rpc), "{}", sample.rpc);
    }
}

in_both_shapes!(the_list_is_exactly_what_answers_so);

async fn the_list_is_exactly_what_answers_so(shape: Shape) {
    let app = App::new(shape, "unserved");
    let mut unserved = BTreeSet::new();
    for rpc in rpcs() {
        if let Err(status) = raw::call(&app, rpc, &DynamicMessage::new(rpc.input())).await
            && status.code() == Code::Unimplemented
        {
            let refusal = Refusal::of(&status);
            assert_eq!((refusal.reason.as_str(), refusal.domain.as_str()), ("NOT_YET_SERVED", "rapport"), "{status:?}");
            raw::lawful(&status).unwrap_or_else(|wrong| panic!("{}: {wrong}", rpc.name));
            unserved.insert(rpc.name.as_str());
        }
    }
    assert_eq!(unserved, *NOT_YET_SERVED);
}
