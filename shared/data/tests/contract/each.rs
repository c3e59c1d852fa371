//! Several calls that share a transaction.

use std::collections::BTreeSet;

use data::{Each, Part, Parts, Store};
use futures::{FutureExt, future::join_all};
use terms::{CustomerId, Fault, Once, Reason, Revision, Service, Written, partition};

use crate::support::{count, customer, event, number, stores, tenant};

fn once(id: &str, body: u8) -> Option<Once> {
    Some(Once { tenant: tenant(), method: "test.Service/Count", request_id: id.to_owned(), fingerprint: [body; 32] })
}

/// Each call publishes something of a customer of its own number, and all of them something of nobody's; those in
/// `failing` fail.
async fn write(store: &Store, onces: Vec<Option<Once>>, failing: &'static [usize]) -> Result<Each<i64, usize>, Fault> {
    let of = tenant();
    let each = store.write_each(&of, onces, move |tx, open| {
        async move {
            let mut parts = Vec::new();
            for at in &open {
                if failing.contains(at) {
                    parts.push(Err(Fault::new(Reason::CustomerNotFound, "not this one")));
                    continue;
                }
                let value = count(tx, "each").await?;
                tx.publish(&tenant(), own(*at), event("own"));
                parts.push(Ok(Part { value, customers: BTreeSet::from([own(*at)]) }));
            }
            tx.publish(&tenant(), nobodys(), event("nobody's"));
            Ok(Parts { all: open.len(), parts })
        }
        .boxed()
    });
    each.await
}

fn own(at: usize) -> CustomerId {
    customer(at as u64 + 1)
}

fn nobodys() -> CustomerId {
    customer(1_000)
}

fn told(revision: &Revision) -> BTreeSet<u16> {
    revision.of(Service::Interaction).map(|(partition, _)| partition).collect()
}

fn taken(each: Each<i64, usize>) -> Vec<Written<i64>> {
    each.answers.into_iter().map(Result::unwrap).collect()
}

#[tokio::test]
async fn each_call_has_its_own_answer_failure_and_revision() {
    for store in stores().await {
        let first = write(&store, vec![once("a", 1), None, once("c", 1), once("d", 1)], &[2]).await.unwrap();
        let all = first.all.unwrap();
        assert_eq!(all.value, 4, "{}", store.name());
        let reasons: Vec<_> = first.answers.iter().map(|answer| answer.as_ref().err().map(Fault::reason)).collect();
        assert_eq!(reasons, [None, None, Some(Reason::CustomerNotFound), None]);
        for (at, answer) in (0..).zip(&first.answers) {
            let Ok(Written { revision, replayed: false, .. }) = answer else { continue };
            let expected = BTreeSet::from([own(at), nobodys()].map(|customer| partition(&tenant(), customer)));
            assert_eq!(told(revision), expected, "{}", store.name());
            assert!(all.revision.covers(revision));
        }

        // What was answered is answered again, alone or among others; what failed is carried out.
        let again = vec![once("d", 1), once("a", 2), once("c", 1), once("e", 1)];
        let second = write(&store, again, &[]).await.unwrap();
        assert_eq!(second.all.unwrap().value, 2);
        let [d, a, c, e] = <[_; 4]>::try_from(second.answers).unwrap();
        let recorded = first.answers.into_iter().nth(3).unwrap().unwrap();
        let d = d.unwrap();
        assert!(d.replayed && d.value == recorded.value && d.revision == recorded.revision);
        assert_eq!(a.unwrap_err().reason(), Reason::RequestIdReused);
        assert!(!c.unwrap().replayed && !e.unwrap().replayed);
        assert_eq!(number(&store, "SELECT n FROM tally").await, 5);
        let third = write(&store, vec![once("c", 1), once("a", 1)], &[]).await.unwrap();
        assert!(third.all.is_none() && taken(third).iter().all(|answer| answer.replayed));

        // A call that shares its transaction and one that has its own are told the same.
        let alone = store.write_once(once("e", 1), |tx| async move { count(tx, "each").await }.boxed()).await.unwrap();
        assert!(alone.replayed, "{}", store.name());
        assert_eq!(store.idle_in_transaction().await, 0);
    }
}

#[tokio::test]
async fn what_spoils_all_leaves_nothing() {
    for store in stores().await {
        let tenant = tenant();
        let spoilt = store.write_each(&tenant, vec![once("a", 1), None], |tx, _| {
            async move {
                count(tx, "each").await?;
                Err::<Parts<i64, ()>, _>(Fault::new(Reason::CustomerNotFound, "none of them"))
            }
            .boxed()
        });
        assert_eq!(spoilt.await.unwrap_err().reason(), Reason::CustomerNotFound);
        assert_eq!((store.count("tally").await, store.count("idempotency").await), (0, 0), "{}", store.name());
        let answers = taken(write(&store, vec![once("a", 1)], &[]).await.unwrap());
        assert!(!answers[0].replayed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_with_the_same_ids_take_effect_once() {
    for store in stores().await {
        // The same ids in many groups, in every order.
        let groups = (0..20).map(|group| {
            let store = store.store();
            let mut ids: Vec<_> = ["a", "b", "c", "d"].map(|id| once(id, 1)).into();
            ids.rotate_left(group % 4);
            tokio::spawn(async move { write(&store, ids, &[]).await.unwrap() })
        });
        let answers = join_all(groups).await.into_iter().flat_map(|group| taken(group.unwrap()));
        assert_eq!(answers.filter(|answer| !answer.replayed).count(), 4, "{}", store.name());
        assert_eq!(number(&store, "SELECT n FROM tally").await, 4);
    }
}
