//! What every store must pass. Each case has a tenant of its own, so that all can share one store.

mod limiting;
mod moving;
mod recording;
mod telling;
mod world;

pub use world::{Directory, World};

use crate::store::Store;

/// Runs every case.
pub async fn suite<S: Store + Clone>(world: &World<S>) {
    recording::everything_that_was_given_is_read_back(&world.tenant("recording")).await;
    recording::an_own_id_is_recorded_once(&world.tenant("own-id")).await;
    recording::a_request_is_answered_once(&world.tenant("request-id")).await;
    recording::bulk_verdicts_come_in_order(&world.tenant("bulk")).await;
    recording::a_dry_run_leaves_nothing(&world.tenant("dry")).await;
    recording::timelines_are_paged_and_sifted(&world.tenant("timeline")).await;
    recording::tenants_share_nothing(&world.tenant("tenant-a"), &world.tenant("tenant-b")).await;
    recording::counters_keep_organic_and_incentivised_apart(&world.tenant("counters")).await;
    telling::the_newest_by_event_time_stands(&world.tenant("superseding")).await;
    telling::a_retraction_is_as_if_it_had_never_been_said(&world.tenant("retraction")).await;
    telling::what_has_expired_does_not_bring_back_the_older(&world.tenant("expiry")).await;
    telling::history_is_told_as_it_was_known(&world.tenant("as-of")).await;
    telling::statements_are_paged_and_sifted(&world.tenant("statements")).await;
    telling::an_own_statement_id_is_recorded_once(&world.tenant("own-statement")).await;
    limiting::a_boundary_and_its_statement_are_one_thing(&world.tenant("boundary")).await;
    limiting::a_boundary_ends_only_by_being_lifted(&world.tenant("lifting")).await;
    limiting::consents_are_decided_by_the_algebra(&world.tenant("consents")).await;
    limiting::the_strictest_wins_when_customers_merge(&world.tenant("strictest")).await;
    limiting::a_dialogue_is_counted_in_its_period_and_held_against_boundaries(&world.tenant("dialogue")).await;
    moving::merge_then_split_is_as_if_nothing_had_happened(&world.tenant("merge-split")).await;
    moving::writes_to_a_former_id_land_on_the_survivor(&world.tenant("former-id")).await;
    moving::a_stale_reference_is_resolved_anew(&world.tenant("stale")).await;
    moving::what_identity_normalises_alike_moves_along(&world.tenant("normalised")).await;
    moving::an_erased_customer_takes_nothing(&world.tenant("erased")).await;
}
