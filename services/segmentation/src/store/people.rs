//! Reads customers with their facts, and their purchases.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use data::Sql;
use segmentation_domain::{
    rfm::{Purchase, Tally, main_currency},
    ruleset::Needs,
    view::Person,
};
use terms::{CustomerId, Fault, Tenant, Timestamp};

use super::{
    SqlSegments,
    load::{of_kinds, read_faces},
    rows::{self, Sealing},
    sql::{Params, column, id},
};

impl SqlSegments {
    fn sealing<'a>(&'a self, tenant: &'a Tenant) -> Sealing<'a> {
        Sealing { tenant, sealer: self.database.sealer() }
    }

    pub(super) async fn read_people(
        &self,
        tenant: &Tenant,
        needs: &Needs,
        after: Option<CustomerId>,
        most: usize,
    ) -> Result<Vec<(CustomerId, Person)>, Fault> {
        let mut params = Params::new(self.database.dialect(), tenant);
        let after = after.map(|after| format!("AND customer > {}", params.add(after.uuid()))).unwrap_or_default();
        let most = params.add(i64::try_from(most).unwrap_or(i64::MAX));
        let sql = format!(
            "SELECT {} FROM subject WHERE tenant = $1 {after} AND survivor IS NULL AND NOT erased \
             ORDER BY customer LIMIT {most}",
            rows::SUBJECT
        );
        self.with_faces(tenant, needs, &sql, params).await
    }

    pub(super) async fn read_person(
        &self,
        tenant: &Tenant,
        needs: &Needs,
        customer: CustomerId,
    ) -> Result<Option<Person>, Fault> {
        let mut params = Params::new(self.database.dialect(), tenant);
        let customer = params.add(customer.uuid());
        let sql = format!("SELECT {} FROM subject WHERE tenant = $1 AND customer = {customer}", rows::SUBJECT);
        Ok(self.with_faces(tenant, needs, &sql, params).await?.pop().map(|(_, person)| person))
    }

    /// The subjects that a query gives, with facts and memberships.
    async fn with_faces(
        &self,
        tenant: &Tenant,
        needs: &Needs,
        sql: &str,
        params: Params,
    ) -> Result<Vec<(CustomerId, Person)>, Fault> {
        let sealing = self.sealing(tenant);
        let reader = self.database.reader();
        let found = reader.rows(sql, params.values()).await?;
        let subjects = found.iter().map(|row| rows::subject(sealing, row)).collect::<Result<Vec<_>, _>>()?;
        if subjects.is_empty() {
            return Ok(Vec::new());
        }
        let mut faces: BTreeMap<_, _> = subjects.iter().map(|(id, _)| (*id, Default::default())).collect();
        // What is due was not settled yet: the walk through due instants reads a little further back.
        let due = subjects.iter().filter_map(|(_, s)| s.next_due).fold(self.now(), Ord::min);
        let since = needs.window.map(|window| due - window - Duration::from_micros(1));
        read_faces(reader, sealing, needs, since, &mut faces).await?;
        let people = subjects.into_iter().map(|(id, subject)| {
            let (facts, memberships) = faces.remove(&id).unwrap_or_default();
            (id, Person { subject, stored: true, facts: Some(facts), memberships })
        });
        Ok(people.collect())
    }

    pub(super) async fn read_purchases(
        &self,
        tenant: &Tenant,
        customer: CustomerId,
        kind: &str,
    ) -> Result<Vec<Purchase>, Fault> {
        let mut params = Params::new(self.database.dialect(), tenant);
        let customer = params.add(customer.uuid());
        let kinds = of_kinds(&mut params, [kind.to_owned()].iter());
        let sql = format!(
            "SELECT at, micros, currency, incentivised FROM event \
             WHERE tenant = $1 AND customer = {customer} AND ({kinds}) ORDER BY at, id"
        );
        let rows = self.database.reader().rows(&sql, params.values()).await?;
        rows.iter()
            .map(|row| {
                Ok(Purchase {
                    at: Timestamp(column(row, 0)?),
                    micros: column(row, 1)?,
                    currency: column(row, 2)?,
                    organic: !column::<bool>(row, 3)?,
                })
            })
            .collect()
    }

    pub(super) async fn read_tallies(&self, tenant: &Tenant, kind: &str) -> Result<Vec<Tally>, Fault> {
        let mut params = Params::new(self.database.dialect(), tenant);
        let now = params.add(self.now().micros());
        let kinds = of_kinds(&mut params, [kind.to_owned()].iter());
        let sql = format!(
            "SELECT customer, currency, COUNT(*), MAX(at), COUNT(micros), CAST(SUM(micros) AS BIGINT) FROM event \
             WHERE tenant = $1 AND at <= {now} AND ({kinds}) GROUP BY customer, currency"
        );
        let mut parts: HashMap<CustomerId, Vec<Part>> = HashMap::new();
        for row in self.database.reader().rows(&sql, params.values()).await? {
            let part = Part {
                currency: column(&row, 1)?,
                purchases: column(&row, 2)?,
                last: column(&row, 3)?,
                valued: column(&row, 4)?,
                sum: column::<Option<i64>>(&row, 5)?.unwrap_or(0),
            };
            parts.entry(id(&row, 0)?).or_default().push(part);
        }
        let mut tallies: Vec<Tally> = parts.into_iter().map(|(customer, parts)| tally(customer, &parts)).collect();
        tallies.sort_unstable_by_key(|tally| tally.customer);
        Ok(tallies)
    }
}

/// The purchases of one customer in one currency.
struct Part {
    currency: String,
    purchases: i64,
    last: i64,
    valued: i64,
    sum: i64,
}

fn tally(customer: CustomerId, parts: &[Part]) -> Tally {
    let valued = parts.iter().filter(|part| part.valued > 0);
    let main = main_currency(valued.map(|part| (part.currency.as_str(), part.valued)));
    let part = parts.iter().find(|part| part.valued > 0 && part.currency == main);
    Tally {
        customer,
        purchases: parts.iter().map(|part| part.purchases).sum(),
        last: Timestamp(parts.iter().map(|part| part.last).max().unwrap_or(0)),
        mean: part.map_or(0, |part| part.sum / part.valued),
    }
}
