//! The store on a real Postgres, one module per noun.

use crate::support::database::TestDatabase;

#[tokio::test]
async fn the_schema_applies_to_an_empty_database_and_again_to_a_full_one() {
    let database = TestDatabase::create().await;
    database
        .store
        .migrate()
        .await
        .expect("a second run changes nothing");
}
