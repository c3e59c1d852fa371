//! How a customer is named, and where it lives in the feeds.

use serde::{Deserialize, Serialize};

use crate::{CustomerId, Tenant};

/// Something that points at a customer: `{namespace: "email", value: "jane@example.org"}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identifier {
    /// What kind: `email`, `phone`, `loyalty_card`, or the tenant's own.
    pub namespace: String,
    /// As given, or normalised; the place that holds it says which.
    pub value: String,
}

/// A customer by id or by any identifier.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CustomerRef {
    /// By id; an id that was merged away names its survivor.
    Id(CustomerId),
    /// By an identifier that identity knows.
    Identifier(Identifier),
}

/// How many partitions the feeds have.
pub const PARTITIONS: u16 = 64;

/// The feed partition of a customer: FNV-1a (64 bit) over tenant and id, modulo [`PARTITIONS`].
///
/// Stored cursors depend on it: it never changes.
pub fn partition(tenant: &Tenant, customer: CustomerId) -> u16 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for &byte in tenant.as_str().as_bytes().iter().chain(customer.as_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    ((hash ^ (hash >> 32)) % u64::from(PARTITIONS)) as u16
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn partitions_are_even_and_stay_where_they_are() {
        let tenant: Tenant = "default".parse().unwrap();
        let mut counts = [0u32; PARTITIONS as usize];
        for i in 0..64_000u128 {
            let id = CustomerId::from_uuid(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + i * 7919));
            counts[usize::from(partition(&tenant, id))] += 1;
        }
        assert!(counts.iter().all(|&n| (800..1200).contains(&n)), "{counts:?}");
        let fixed = CustomerId::from_uuid(Uuid::from_u128(0x0190_1111_2222_7333_8444_5555_6666_7777));
        assert_eq!(partition(&tenant, fixed), 49);
    }
}
