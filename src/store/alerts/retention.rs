//! The end of incidents: they are removed with all that belongs to them.

use uuid::Uuid;

use crate::{
    domain::model::time::Timestamp,
    store::{Progress, StoreError, Tx},
};

/// An incident has some transitions, and some deliveries of each.
const INCIDENTS_AT_ONCE: i64 = 500;

/// What belongs to incidents, in an order in which no row is missed by another.
const OF_INCIDENTS: [&str; 7] = [
    "-- delivery_attempts.forget_incidents
     delete from delivery_attempts where delivery_id in (
         select d.id from deliveries d join alert_transitions t on t.id = d.transition_id
         where t.episode = any ($1))",
    // One that was begun again meanwhile stays, and with it, by its reference, all of this step.
    "-- deliveries.forget_incidents
     delete from deliveries where state not in ('pending', 'leased') and transition_id in (
         select id from alert_transitions where episode = any ($1))",
    "-- target_references.forget_incidents
     delete from target_references where episode = any ($1)",
    "-- acknowledgements.forget_incidents
     delete from acknowledgements where episode = any ($1)",
    "-- incident_notes.forget_incidents
     delete from incident_notes where episode = any ($1)",
    "-- incident_snapshots.forget_incidents
     delete from incident_snapshots where episode = any ($1)",
    "-- alert_transitions.forget_incidents
     delete from alert_transitions where episode = any ($1)",
];

impl Tx<'_> {
    /// Deletes some of the incidents that ended before `before`, with their deliveries and notes. The
    /// last incident of an alert that a target was notified of stays, since it says what the target
    /// shows; and so does one with a delivery that is still to be sent.
    pub async fn forget_incidents(&mut self, before: Timestamp) -> Result<Progress, StoreError> {
        let query = sqlx::query_as(
            "-- alert_transitions.ended_incidents
             select t.episode from alert_transitions t
             where t.kind = 'resolved' and t.at < $1
                 and not exists (
                     select from alerts a
                     where a.slo_id = t.slo_id and a.severity = t.severity and a.episode = t.episode)
                 and not exists (
                     select from alert_transitions o
                     join deliveries d on d.transition_id = o.id
                     where o.episode = t.episode and d.state in ('pending', 'leased'))
                 and not exists (
                     select from alert_transitions o
                     join target_alerts s on s.transition_id = o.id
                     where o.episode = t.episode)
             order by t.at limit $2",
        )
        .bind(before.to_chrono())
        .bind(INCIDENTS_AT_ONCE);
        let rows: Vec<(Uuid,)> = self.fetch_all(query).await?;
        let episodes: Vec<Uuid> = rows.into_iter().map(|(episode,)| episode).collect();
        if episodes.is_empty() {
            return Ok(Progress::Done);
        }
        for sql in OF_INCIDENTS {
            self.execute(sqlx::query(sql).bind(&episodes)).await?;
        }
        let is_full = i64::try_from(episodes.len()).is_ok_and(|found| found >= INCIDENTS_AT_ONCE);
        Ok(if is_full {
            Progress::More
        } else {
            Progress::Done
        })
    }
}
