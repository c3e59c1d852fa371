//! `CompareSegments`.

use std::collections::BTreeMap;

use host::Call;
use rapport_proto::segmentation::v1::{CompareSegmentsRequest, CompareSegmentsResponse, SegmentCount, SegmentPair};
use segmentation_domain::{ports::Store, segment::SegmentId};
use terms::{CustomerId, Fault, Revision, Violations};

use super::{Ports, decode};

/// Members in one read.
const PAGE: usize = 5_000;

pub(super) async fn compare_segments(
    ports: &Ports,
    call: Call,
    body: CompareSegmentsRequest,
) -> Result<CompareSegmentsResponse, Fault> {
    let mut wrong = Violations::new();
    let segments = decode::segments(&mut wrong, body.segments, (2, 10));
    let at_least = wrong.take(Revision::parse("at_least", &body.at_least));
    wrong.done()?;
    let at_least = decode::checked(at_least)?;
    ports.reach(&call, &at_least).await?;
    let catalog = ports.segments.catalog(call.tenant()).await?;
    let segments = decode::checked(segments)?;
    let segments = segments.iter().map(|which| catalog.find(which)).collect::<Result<Vec<_>, _>>()?;
    let ids: Vec<SegmentId> = segments.iter().map(|segment| segment.id).collect();
    let counts = count_combinations(ports, &call, &ids).await?;
    let names: Vec<&str> = segments.iter().map(|segment| segment.name.as_str()).collect();
    Ok(compared(&names, &counts, at_least.to_string()))
}

/// How many customers are in exactly which of the segments, one bit for each.
async fn count_combinations(ports: &Ports, call: &Call, ids: &[SegmentId]) -> Result<BTreeMap<u16, i64>, Fault> {
    // One moment for all of them.
    let now = ports.clock.now();
    let mut inside: BTreeMap<CustomerId, u16> = BTreeMap::new();
    for (bit, segment) in ids.iter().enumerate() {
        let mut after = None;
        loop {
            let members = ports.segments.members(call.tenant(), *segment, Some(now), after, PAGE).await?;
            members.iter().for_each(|(id, _)| *inside.entry(*id).or_default() |= 1 << bit);
            match members.last() {
                Some((last, _)) if members.len() == PAGE => after = Some(*last),
                _ => break,
            }
        }
    }
    let mut counts = BTreeMap::new();
    inside.into_values().for_each(|bits| *counts.entry(bits).or_default() += 1);
    Ok(counts)
}

fn compared(names: &[&str], counts: &BTreeMap<u16, i64>, revision: String) -> CompareSegmentsResponse {
    let sum = |wanted: &dyn Fn(u16) -> bool| -> i64 {
        counts.iter().filter(|(bits, _)| wanted(**bits)).map(|(_, count)| count).sum()
    };
    let mut pairs = Vec::new();
    for (a, left) in names.iter().enumerate() {
        for (b, right) in names.iter().enumerate().skip(a + 1) {
            let (left_bit, right_bit) = (1u16 << a, 1u16 << b);
            let both = left_bit | right_bit;
            let overlap = sum(&|bits| bits & both == both);
            let union = sum(&|bits| bits & both != 0);
            pairs.push(SegmentPair {
                left: (*left).to_owned(),
                right: (*right).to_owned(),
                overlap_count: overlap,
                jaccard: if union > 0 { overlap as f64 / union as f64 } else { 0.0 },
                only_left_count: sum(&|bits| bits & both == left_bit),
                only_right_count: sum(&|bits| bits & both == right_bit),
            });
        }
    }
    let all = (1u16 << names.len()) - 1;
    let each = names.iter().enumerate().map(|(n, name)| SegmentCount {
        segment: (*name).to_owned(),
        member_count: sum(&|bits| bits & (1 << n) != 0),
        only_in_count: sum(&|bits| bits == 1 << n),
    });
    CompareSegmentsResponse {
        pairs,
        counts: each.collect(),
        intersection_count: sum(&|bits| bits == all),
        union_count: sum(&|bits| bits != 0),
        revision,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_algebra() {
        // 5 in a alone, 3 in a and b, 2 in all three, 1 in c alone.
        let counts = BTreeMap::from([(0b001, 5), (0b011, 3), (0b111, 2), (0b100, 1)]);
        let reply = compared(&["a", "b", "c"], &counts, String::new());
        assert_eq!((reply.intersection_count, reply.union_count), (2, 11));
        let pair = &reply.pairs[0];
        assert_eq!((pair.overlap_count, pair.only_left_count, pair.only_right_count, pair.jaccard), (5, 5, 0, 0.5));
        assert_eq!((reply.counts[0].member_count, reply.counts[0].only_in_count), (10, 5));
        assert_eq!((reply.counts[1].member_count, reply.counts[1].only_in_count), (5, 0));
    }
}
