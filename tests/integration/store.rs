//! The schema on a real Postgres: it applies, it is documented, and releases only add to it.

use std::{collections::BTreeMap, fs, path::Path};

use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, Executor as _};
use throughline::store::Store;

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

/// As after a failover to a server that becomes the primary a little later.
#[tokio::test]
async fn a_session_that_began_read_only_is_not_kept_when_the_database_takes_writes_again() {
    let database = TestDatabase::create().await;
    let mut past = database.connect().await;
    let name = database.options.get_database().unwrap();
    let mut set_read_only = async |value: &str| {
        let sql = format!("alter database {name} set default_transaction_read_only = {value}");
        past.execute(AssertSqlSafe(sql)).await.unwrap();
    };
    // With one connection for the loops.
    let store = Store::new(database.options.clone(), 3);
    let write = async || store.begin("write").await.unwrap().look().await;
    set_read_only("on").await;
    write().await.unwrap_err();
    set_read_only("off").await;
    write().await.unwrap();
}

/// Tables and columns without a comment, partitions aside: they have those of their table.
const UNDOCUMENTED: &str = "
    select c.relname || coalesce('.' || a.attname, '')
    from pg_class c
    left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
        and not c.relispartition and c.relname <> '_sqlx_migrations'
        and (obj_description(c.oid, 'pg_class') is null or col_description(c.oid, a.attnum) is null)
    order by 1";

#[tokio::test]
async fn every_table_and_column_has_a_comment() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    let undocumented: Vec<String> = sqlx::query_scalar(UNDOCUMENTED)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(undocumented, [""; 0]);
    sqlx::query("comment on column slos.name is null")
        .execute(&mut connection)
        .await
        .unwrap();
    let undocumented: Vec<String> = sqlx::query_scalar(UNDOCUMENTED)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(undocumented, ["slos.name"]);
}

/// Constraints that are not named after their table and kind, and so by Postgres: its numbers depend on
/// the order in which they were made.
const MISNAMED: &str = "
    select conname::text from pg_constraint n join pg_class c on c.oid = n.conrelid
    where c.relnamespace = 'public'::regnamespace and not c.relispartition
        and c.relname <> '_sqlx_migrations'
        and conname !~ ('^' || c.relname || '_([a-z_]+_)?' || case contype
            when 'c' then 'check' when 'f' then 'fkey' when 'p' then 'pkey' else 'key' end || '$')
    order by 1";

#[tokio::test]
async fn every_constraint_is_named_after_its_table_and_kind() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    let misnamed: Vec<String> = sqlx::query_scalar(MISNAMED)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(misnamed, [""; 0]);
    let unnamed = "alter table epochs add check (epoch >= 0), add check (epoch < 1000000000)";
    sqlx::query(unnamed).execute(&mut connection).await.unwrap();
    let misnamed: Vec<String> = sqlx::query_scalar(MISNAMED)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(misnamed, ["epochs_epoch_check1"]);
}

/// Tables, and where they store long values, that are vacuumed only when a fifth of them is dead.
const RARELY_VACUUMED: &str = "
    select c.relname || case when s.oid = c.oid then '' else '.toast' end
    from pg_class c join pg_class s on s.oid in (c.oid, c.reltoastrelid)
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
        and (c.relname ~ '_queue$'
            or c.relname in ('deadlines', 'heard_workflows', 'link_checks'))
        and not coalesce(s.reloptions @> array['autovacuum_vacuum_scale_factor=0.01',
            'autovacuum_vacuum_threshold=1000'], false)
    order by 1";

#[tokio::test]
async fn every_queue_is_vacuumed_when_a_hundredth_of_it_is_dead() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    let rarely: Vec<String> = sqlx::query_scalar(RARELY_VACUUMED)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(rarely, [""; 0]);
    let changes = "alter table deadlines reset (autovacuum_vacuum_threshold);
        create table mail_queue (keys uuid[])";
    sqlx::raw_sql(changes)
        .execute(&mut connection)
        .await
        .unwrap();
    let rarely: Vec<String> = sqlx::query_scalar(RARELY_VACUUMED)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(rarely, ["deadlines", "mail_queue", "mail_queue.toast"]);
}

/// How `present` breaks the rule that released migrations stay: files by name, with their SHA-256.
fn violations(released: &str, present: &BTreeMap<String, String>) -> Vec<String> {
    let lines = released.lines().filter(|line| !line.starts_with('#'));
    let released: BTreeMap<&str, &str> = lines
        .map(|line| line.split_once(' ').expect("a file and its SHA-256"))
        .collect();
    let mut violations = Vec::new();
    for (file, sha256) in &released {
        match present.get(*file) {
            None => violations.push(format!("{file} is gone")),
            Some(found) if found != sha256 => violations.push(format!("{file} was changed")),
            Some(_) => {}
        }
    }
    let last = released.keys().next_back().copied().unwrap_or_default();
    let new = present
        .keys()
        .filter(|file| !released.contains_key(file.as_str()));
    let inserted = new.filter(|file| file.as_str() < last);
    violations.extend(inserted.map(|file| format!("{file} sorts before {last}")));
    violations
}

#[test]
fn migrations_of_a_release_are_never_changed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let released = fs::read_to_string(root.join("tests/fixtures/migrations.released")).unwrap();
    let files = fs::read_dir(root.join("migrations")).unwrap();
    let present: BTreeMap<String, String> = files
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (
                name,
                format!("{:x}", Sha256::digest(fs::read(path).unwrap())),
            )
        })
        .collect();
    assert!(present.contains_key("0001_slos.sql"), "{present:?}");
    assert_eq!(violations(&released, &present), [""; 0]);
}

/// The last migration of the first release.
const FIRST_RELEASE: i64 = 7;
/// What a migration says that no older version can use.
const FOR_NONE: &str = "-- No older version can use this.";

/// Later migrations that do not say which versions can use them: numbers with texts.
fn silent(migrations: &BTreeMap<i64, String>) -> Vec<i64> {
    let later = migrations.range(FIRST_RELEASE + 1..);
    let says = |version: i64, text: &str| {
        let row = format!("insert into schema_compatibility values ({version}, ");
        text.contains(&row) || text.contains(FOR_NONE)
    };
    later
        .filter(|(version, text)| !says(**version, text))
        .map(|(version, _)| *version)
        .collect()
}

#[test]
fn a_migration_after_the_first_release_says_which_versions_can_use_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = fs::read_dir(root.join("migrations")).unwrap();
    let migrations = files.map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let version = name.split_once('_').expect("a number").0.parse().unwrap();
        (version, fs::read_to_string(path).unwrap())
    });
    assert_eq!(silent(&migrations.collect()), [0; 0]);
    let texts = [
        (7, "create table a ()"),
        (8, "insert into schema_compatibility values (8, 7);"),
        (9, "create table b ()"),
        (10, "insert into schema_compatibility values (8, 7);"),
        (11, FOR_NONE),
    ];
    let texts = texts.map(|(version, text)| (version, text.to_owned()));
    assert_eq!(silent(&texts.into()), [9, 10]);
}

#[test]
fn a_changed_a_deleted_and_an_inserted_migration_are_found() {
    let files = |names: &[(&str, &str)]| -> BTreeMap<String, String> {
        let names = names.iter();
        names
            .map(|(file, sha256)| ((*file).to_owned(), (*sha256).to_owned()))
            .collect()
    };
    let released = "# a comment\n0001_a.sql aa\n0002_b.sql bb\n0004_d.sql dd\n";
    let added = [
        ("0001_a.sql", "aa"),
        ("0002_b.sql", "bb"),
        ("0004_d.sql", "dd"),
        ("0005_e.sql", "ee"),
    ];
    assert_eq!(violations(released, &files(&added)), [""; 0]);
    let broken = [
        ("0001_a.sql", "a1"),
        ("0003_c.sql", "cc"),
        ("0004_d.sql", "dd"),
    ];
    assert_eq!(
        violations(released, &files(&broken)),
        [
            "0001_a.sql was changed",
            "0002_b.sql is gone",
            "0003_c.sql sorts before 0004_d.sql"
        ]
    );
}
