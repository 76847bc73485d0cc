//! Long lists, read in parts to their end.

use std::collections::BTreeSet;

use axum::Router;
use sqlx::Executor as _;
use throughline::domain::slo::Catalog;

use super::{client::get, fixture};

/// Follows the header `Link`. Returns the length of each part and all ids, each once.
async fn read(router: &Router, path: &str, list: &str) -> (Vec<usize>, BTreeSet<String>) {
    let (mut next, mut lengths, mut ids) = (Some(path.to_owned()), Vec::new(), BTreeSet::new());
    while let Some(path) = next {
        let answer = get(router, &path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let view = answer.json();
        let entries = view[list].as_array().unwrap();
        lengths.push(entries.len());
        for entry in entries {
            let id = entry["id"].as_str().unwrap().to_owned();
            assert!(ids.insert(id.clone()), "{id} is in two parts");
        }
        let link = answer.header("link").strip_prefix('<');
        next = link.map(|link| link.strip_suffix(">; rel=\"next\"").unwrap().to_owned());
        assert_eq!(next.is_some(), view["next"].is_string(), "{path}");
    }
    (lengths, ids)
}

/// Of each three rows two have the same time.
const TIME: &str = "timestamptz '2026-11-22 10:00:00Z' - (n / 3 + (n % 3) / 2) * interval '1 s'";

#[tokio::test]
async fn change_events_silences_and_sessions_are_read_to_their_end() {
    let shop = fixture::empty(Catalog::default()).await;
    let mut connection = shop.database.connect().await;
    let rows = [
        format!(
            "insert into change_events (id, kind, at, title, recorded_at)
             select gen_random_uuid(), 'note', {TIME}, 'n', {TIME} from generate_series(1, 450) n"
        ),
        format!(
            "insert into silences (id, matchers, starts, duration_us, ends_at, reason, created_at)
             select gen_random_uuid(), array['slo=\"a\"'], array[{TIME}], 1000000, {TIME} + interval '1 s',
                 'upgrade', {TIME} from generate_series(1, 2300) n"
        ),
        format!(
            "insert into sessions (digest, subject, name, permissions, created_at, expires_at)
             select sha256(n::text::bytea), 'kim', 'kim', array['viewer'], {TIME}, '2027-01-01'
             from generate_series(1, 2000) n"
        ),
    ];
    for statement in rows {
        connection
            .execute(sqlx::AssertSqlSafe(statement))
            .await
            .unwrap();
    }
    for (path, list, lengths) in [
        ("/api/v1/events", "events", &[200, 200, 50][..]),
        ("/api/v1/silences", "silences", &[1_000, 1_000, 300]),
        // The last part is full, so it says that there may be more.
        ("/api/v1/sessions", "sessions", &[1_000, 1_000, 0]),
    ] {
        let (found, ids) = read(&shop.router, path, list).await;
        assert_eq!(found, lengths, "{path}");
        assert_eq!(ids.len(), lengths.iter().sum::<usize>());
        let page = path.trim_start_matches("/api/v1");
        let page = get(&shop.router, page).await;
        assert!(page.body.contains("before="), "{path}");
        let other = get(&shop.router, &format!("{path}?before=1")).await;
        assert_eq!(other.status, 400, "{}", other.body);
    }
}
