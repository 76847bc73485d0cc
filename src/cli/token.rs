//! `throughline token`: creates, lists and revokes tokens, in the database of the service.

use std::{io::Write as _, process::ExitCode, time::Duration};

use clap::Subcommand;

use super::{output, table::TextTable};
use crate::{
    app::access::TokenRegistry,
    config::DatabaseConfig,
    domain::{
        access::{AccessRole, AllowedServices, Permissions, TokenGrant, TokenRecord, TokenRequest},
        model::{format, time::Timestamp},
    },
};

/// Make, list and revoke tokens for pages, API and senders of spans
///
/// Writes to the database of the service, so run it where the service runs, with the same database
/// settings. The service uses a change within two seconds.
#[derive(clap::Args, Debug)]
pub struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Create a token and print it; it cannot be shown again
    Create(CreateArgs),
    /// List all tokens, including expired and revoked ones
    List {
        #[command(flatten)]
        database: DatabaseConfig,
    },
    /// Revoke a token, and end the sessions that began with it
    Revoke {
        name: String,
        #[command(flatten)]
        database: DatabaseConfig,
    },
}

#[derive(clap::Args, Debug)]
struct CreateArgs {
    /// User or program of the token, as the audit log names it
    name: String,
    /// For pages and API: viewer (reads), editor (also silences, acknowledges, adds notes, reports
    /// change events and retries deliveries) or admin (also tests targets, and applies and clears
    /// definitions)
    #[arg(long, value_name = "ROLE", required_unless_present = "sender")]
    role: Option<AccessRole>,
    /// Only the SLOs with this label `team`; may be repeated, also with `--namespace`
    #[arg(
        long = "team",
        value_name = "TEAM",
        value_delimiter = ',',
        requires = "role"
    )]
    teams: Vec<String>,
    /// Only the SLOs of this namespace
    #[arg(
        long = "namespace",
        value_name = "NAMESPACE",
        value_delimiter = ',',
        requires = "role"
    )]
    namespaces: Vec<String>,
    /// For sending spans, with `--otlp-auth token`
    #[arg(long, conflicts_with = "role")]
    sender: bool,
    /// Only spans of these services, by `service.name`
    #[arg(
        long = "service",
        value_name = "SERVICE",
        value_delimiter = ',',
        requires = "sender"
    )]
    services: Vec<String>,
    /// How long it is valid
    #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = humantime::parse_duration)]
    expires_in: Duration,
    #[command(flatten)]
    database: DatabaseConfig,
}

pub fn run(args: TokenArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match args.command {
            TokenCommand::Create(args) => create(args).await,
            TokenCommand::List { database } => list(&database).await,
            TokenCommand::Revoke { name, database } => revoke(&database, &name).await,
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Prints only the token to standard output, so that a script can use it.
async fn create(args: CreateArgs) -> anyhow::Result<()> {
    let registry = TokenRegistry::open(&args.database).await?;
    let request = TokenRequest {
        name: args.name,
        grant: match args.role {
            Some(role) => TokenGrant::User(Permissions::within(role, args.teams, args.namespaces)),
            None => TokenGrant::Sender(AllowedServices::of(args.services)),
        },
        lasts: args.expires_in,
    };
    let made = registry.create(request).await;
    registry.close().await?;
    let (token, expires_at) = made?;
    output::print(&format!("{}\n", token.reveal()))?;
    writeln!(
        std::io::stderr(),
        "It is valid until {} and shown only now. Send it as `Authorization: Bearer`.",
        format::date_time(expires_at)
    )?;
    Ok(())
}

async fn list(database: &DatabaseConfig) -> anyhow::Result<()> {
    let registry = TokenRegistry::open(database).await?;
    let listed = registry.list().await;
    registry.close().await?;
    let (tokens, now) = listed?;
    output::print(&table(&tokens, now))?;
    Ok(())
}

async fn revoke(database: &DatabaseConfig, name: &str) -> anyhow::Result<()> {
    let registry = TokenRegistry::open(database).await?;
    let revoked = registry.revoke(name).await;
    registry.close().await?;
    revoked?;
    output::print(&format!("the token `{name}` is revoked\n"))?;
    Ok(())
}

fn table(tokens: &[TokenRecord], now: Timestamp) -> String {
    let mut table = TextTable::new(["Name", "For", "State", "Made", "Expires"]);
    for token in tokens {
        let (state, purpose) = (token.state(now), token.grant.to_string());
        let made = format::date_time(token.created_at);
        let expires = format::date_time(token.expires_at);
        table.row([&token.name, &purpose, state, &made, &expires]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_token_is_a_row_with_what_it_is_for_and_whether_it_is_valid() {
        let token = |name: &str, grant, expires_at| TokenRecord {
            id: Uuid::nil(),
            name: name.to_owned(),
            grant,
            created_at: Timestamp::from_secs(0),
            expires_at: Timestamp::from_secs(expires_at),
            revoked_at: None,
        };
        let shop = AllowedServices::of(vec!["shop".to_owned()]);
        let tokens = [
            token(
                "ci",
                TokenGrant::User("editor@team/shop".parse().unwrap()),
                86_400,
            ),
            token("gateway", TokenGrant::Sender(shop), 60),
        ];
        assert_eq!(
            table(&tokens, Timestamp::from_secs(60)),
            "Name     For               State    Made                  Expires\n\
             ci       editor@team/shop  valid    1970-01-01 00:00 UTC  1970-01-02 00:00 UTC\n\
             gateway  sender of shop    expired  1970-01-01 00:00 UTC  1970-01-01 00:01 UTC\n"
        );
    }
}
