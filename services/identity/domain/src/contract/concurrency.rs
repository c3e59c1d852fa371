//! Hard case 1: edges a–b, b–c, c–d, in any order, concurrently → one person, every old id resolves in one hop, no
//! fact lost.

use std::{collections::BTreeSet, sync::Arc};

use futures::{StreamExt, future, stream};
use terms::{Caller, CustomerId};

use super::{caller, get, given, identifier, trait_of};
use crate::{
    identify::Identify,
    ports::{Customers, Verdicts},
};

/// `rounds` times, on fresh identifiers: four records that stand alone, and the three edges that join them, all sent
/// at once, in an order that differs from round to round, one by one or in groups.
///
/// # Panics
/// When more than one person is left, an old id does not resolve, or a fact is lost.
pub async fn one_person_from_every_order(store: Arc<dyn Customers>, rounds: usize) {
    let caller = caller("every-order");
    stream::iter(0..rounds)
        .for_each_concurrent(8, |round| {
            let (store, caller) = (store.clone(), caller.clone());
            async move { tokio::spawn(one_round(store, caller, round)).await.expect("the round held") }
        })
        .await;
}

async fn one_round(store: Arc<dyn Customers>, caller: Caller, round: usize) {
    let record = |name: &str, nodes: &[&str]| {
        let nodes: Vec<_> = nodes.iter().map(|node| format!("crm:{round}-{node}")).collect();
        let nodes: Vec<_> = nodes.iter().map(String::as_str).collect();
        given(&nodes).source("webshop", &format!("{round}-{name}")).says(&format!("said_by_{name}"), true).command()
    };
    let mut commands = vec![
        record("a", &["a"]),
        record("b", &["b"]),
        record("c", &["c"]),
        record("d", &["d"]),
        record("ab", &["a", "b"]),
        record("bc", &["c", "b"]),
        record("cd", &["c", "d"]),
    ];
    // A different order each round: step through the permutations of seven.
    let mut seed = round;
    for i in (1..commands.len()).rev() {
        commands.swap(i, seed % (i + 1));
        seed /= i + 1;
    }
    let verdicts = send(store.clone(), caller.clone(), commands, 1 + round % 3).await;
    let ids: BTreeSet<CustomerId> = verdicts
        .iter()
        .flat_map(|v| {
            let v = v.as_ref().expect("identified");
            v.customer.into_iter().chain(v.merged.iter().copied())
        })
        .collect();
    check(&*store, &caller, round, ids).await;
}

/// Sends every group at once, each in a task of its own.
async fn send(store: Arc<dyn Customers>, caller: Caller, commands: Vec<Identify>, group: usize) -> Verdicts {
    let groups = commands.chunks(group).map(|group| {
        let (store, caller, group) = (store.clone(), caller.clone(), group.to_vec());
        tokio::spawn(async move {
            match <[Identify; 1]>::try_from(group) {
                Ok([single]) => vec![store.identify(&caller, None, single).await.map(|written| written.value)],
                Err(group) => store.identify_many(&caller, group).await.expect("written").value,
            }
        })
    });
    let verdicts = future::join_all(groups).await;
    verdicts.into_iter().flat_map(|verdicts| verdicts.expect("no panic")).collect()
}

async fn check(store: &dyn Customers, caller: &Caller, round: usize, ids: BTreeSet<CustomerId>) {
    let nodes: Vec<_> = ["a", "b", "c", "d"].iter().map(|node| identifier(&format!("crm:{round}-{node}"))).collect();
    let leads = store.leads(&caller.tenant, &nodes).await.expect("read");
    let person = leads[0].expect("known").customer;
    assert!(leads.iter().all(|lead| lead.expect("known").customer == person), "round {round}: {leads:?}");
    let ids: Vec<_> = ids.into_iter().collect();
    let resolved = store.resolve(&caller.tenant, &ids).await.expect("read");
    assert_eq!(resolved, vec![Some(person); ids.len()], "round {round}");
    let customer = get(store, caller, person).await;
    assert_eq!((customer.record_count, customer.identifiers.len()), (7, 4), "round {round}");
    for name in ["a", "b", "c", "d", "ab", "bc", "cd"] {
        assert!(trait_of(&customer, &format!("said_by_{name}")).is_some(), "round {round}: {name} is lost");
    }
    let records = store.records(&caller.tenant, person).await.expect("read");
    assert_eq!(records.len(), 7, "round {round}");
    assert_eq!(records.iter().map(|(_, claims)| claims.len()).sum::<usize>(), 10, "round {round}");
    let aliases: BTreeSet<_> = customer.aliases.iter().copied().chain([person]).collect();
    assert!(ids.iter().all(|id| aliases.contains(id)), "round {round}");
}

/// Two clients, each `calls` times: chains of overlapping identifier sets over the same 50 identifiers, sent at the
/// same time from both ends.
///
/// # Panics
/// When more than one person is left, an old id does not resolve, or a fact is lost.
pub async fn two_clients_one_person(store: Arc<dyn Customers>, calls: usize) {
    const IDENTIFIERS: usize = 50;
    let caller = caller("two-clients");
    let clients = [0, 1].map(|client| {
        let (store, caller) = (store.clone(), caller.clone());
        tokio::spawn(async move {
            let mut ids = BTreeSet::new();
            for call in 0..calls {
                let step = if client == 0 { call } else { calls - 1 - call };
                let pair = [step % IDENTIFIERS, (step + 1) % IDENTIFIERS].map(|node| format!("crm:{node}"));
                let command = given(&[&pair[0], &pair[1]])
                    .source("webshop", &format!("{client}-{call}"))
                    .says("said_by", format!("{client}-{call}"))
                    .command();
                let verdict = store.identify(&caller, None, command).await.expect("identified").value;
                ids.extend(verdict.customer.into_iter().chain(verdict.merged));
            }
            ids
        })
    });
    let ids: BTreeSet<_> = future::join_all(clients).await.into_iter().flat_map(|ids| ids.expect("no panic")).collect();
    let nodes: Vec<_> = (0..IDENTIFIERS.min(calls)).map(|node| identifier(&format!("crm:{node}"))).collect();
    let leads = store.leads(&caller.tenant, &nodes).await.expect("read");
    let person = leads[0].expect("known").customer;
    assert!(leads.iter().all(|lead| lead.expect("known").customer == person));
    let ids: Vec<_> = ids.into_iter().collect();
    assert_eq!(store.resolve(&caller.tenant, &ids).await.expect("read"), vec![Some(person); ids.len()]);
    let customer = get(store.as_ref(), &caller, person).await;
    assert_eq!(customer.record_count as usize, 2 * calls);
    let records = store.records(&caller.tenant, person).await.expect("read");
    let said: BTreeSet<_> = records
        .iter()
        .filter_map(|(record, _)| record.facts.traits.get("said_by")?.value.clone()?.as_str().map(str::to_owned))
        .collect();
    for client in [0, 1] {
        for call in 0..calls {
            assert!(said.contains(&format!("{client}-{call}")), "what {client} said in call {call} is lost");
        }
    }
}
