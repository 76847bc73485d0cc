//! The last report that each target was sent, so that each is sent once.

use sqlx_macros::FromRow;

use crate::{
    domain::{
        model::{ids::Name, time::Timestamp},
        slo::ReportSchedule,
    },
    store::{StoreError, Tx},
};

/// A report of one target.
pub type TargetReportKey<'a> = (&'a Name, &'a ReportSchedule);

/// The last report that a target was sent.
#[derive(Clone, Debug, FromRow)]
pub struct SentReport {
    target: String,
    /// Empty for all SLOs.
    team: String,
    month: Timestamp,
}

impl SentReport {
    pub fn is_of(&self, (target, schedule): TargetReportKey<'_>) -> bool {
        self.target == target.as_str() && self.team == team(schedule)
    }

    /// Returns whether no report of the month that begins at `month` is to be sent any more.
    pub fn covers(&self, month: Timestamp) -> bool {
        self.month >= month
    }
}

impl Tx<'_> {
    /// Returns the last report of each target, whether or not it is still declared.
    pub async fn sent_reports(&mut self) -> Result<Vec<SentReport>, StoreError> {
        let query = sqlx::query_as(
            "-- sent_reports.read
            select target, team, month from sent_reports",
        );
        self.fetch_all(query).await
    }

    /// Claims the report of the month that begins at `month`. Returns true once, for one replica. A
    /// report that is new is not due before the next month.
    pub async fn claim_report(
        &mut self,
        (target, schedule): TargetReportKey<'_>,
        month: Timestamp,
    ) -> Result<bool, StoreError> {
        let statement = sqlx::query(
            "-- sent_reports.claim
            update sent_reports set month = $3 where target = $1 and team = $2 and month < $3",
        )
        .bind(target)
        .bind(team(schedule))
        .bind(month);
        if self.execute(statement).await? == 1 {
            return Ok(true);
        }
        let statement = sqlx::query(
            "-- sent_reports.add
            insert into sent_reports (target, team, month) values ($1, $2, $3)
            on conflict (target, team) do nothing",
        )
        .bind(target)
        .bind(team(schedule))
        .bind(month);
        self.execute(statement).await?;
        Ok(false)
    }

    /// Deletes what is kept of reports other than `declared`.
    pub async fn forget_reports(
        &mut self,
        declared: &[TargetReportKey<'_>],
    ) -> Result<(), StoreError> {
        let targets: Vec<&str> = declared.iter().map(|(target, _)| target.as_str()).collect();
        let teams: Vec<&str> = declared.iter().map(|(_, one)| team(one)).collect();
        let statement = sqlx::query(
            "-- sent_reports.forget
            delete from sent_reports where not exists (
                select from unnest($1::text[], $2::text[]) as declared (target, team)
                where declared.target = sent_reports.target and declared.team = sent_reports.team)",
        )
        .bind(targets)
        .bind(teams);
        self.execute(statement).await.map(drop)
    }
}

/// Empty for all SLOs.
fn team(schedule: &ReportSchedule) -> &str {
    schedule.team.as_deref().unwrap_or_default()
}
