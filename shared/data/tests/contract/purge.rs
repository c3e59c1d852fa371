//! Erasure: the feed and the recorded answers forget.

use data::WatchFrom;
use futures::FutureExt;
use rapport_proto::feed::v1::{CustomerErased, event::Event};
use terms::{Once, Reason};

use crate::support::{customer, entries, event, name_of, stores, tenant, watch};

fn once(id: &str) -> Option<Once> {
    Some(Once { tenant: tenant(), method: "m", request_id: id.to_owned(), fingerprint: [1; 32] })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_of_an_erased_customer_is_gone() {
    for store in stores().await {
        let mut live = watch(&store.feed(), WatchFrom::Oldest).await;
        for (id, who) in [("gone", 1u64), ("kept", 2)] {
            let written = store.write_once(once(id), move |tx| {
                tx.act_as("jane");
                tx.publish(&tenant(), customer(who), event("marker"));
                async { Ok("marker".to_owned()) }.boxed()
            });
            written.await.unwrap();
        }
        assert_eq!(name_of(&entries(&mut live, 2).await[0]), "marker");
        let erased = store.write(|tx| {
            async move {
                tx.purge(&tenant(), customer(1)).await?;
                tx.publish(&tenant(), customer(1), Event::CustomerErased(CustomerErased::default()));
                Ok(())
            }
            .boxed()
        });
        erased.await.unwrap();
        // In memory, and in the table.
        for source in [store.store(), store.another().await] {
            let came = entries(&mut watch(&source.feed(), WatchFrom::Oldest).await, 3).await;
            assert_eq!((came[0].change(), &*came[0].actor), (None, ""), "{}", store.name());
            assert_eq!((name_of(&came[1]).as_str(), &*came[1].actor), ("marker", "jane"));
            assert!(matches!(came[2].change(), Some(Event::CustomerErased(_))));
        }
        let again = store.write_once(once("gone"), |_| async { Ok("again".to_owned()) }.boxed()).await;
        assert_eq!(again.unwrap_err().reason(), Reason::CustomerErased);
        let kept = store.write_once(once("kept"), |_| async { Ok("again".to_owned()) }.boxed()).await.unwrap();
        assert_eq!((kept.value.as_str(), kept.replayed), ("marker", true));
    }
}
