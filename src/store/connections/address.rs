//! The address of a database, as people write it: one server, or several of which one accepts writes.

use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

/// The servers of a URL such as `postgres://user:password@one:5432,two:5432/database`, in its order.
#[derive(Clone, Debug)]
pub struct DatabaseAddress {
    pub(super) servers: Vec<PgConnectOptions>,
    /// The URL says that a pooler is in front of the servers.
    pub(super) is_pooled: bool,
    /// A server that accepts no writes will do.
    pub(super) is_for_reading: bool,
}

impl DatabaseAddress {
    /// Returns the same address, of which the service only reads.
    #[must_use]
    pub fn for_reading(self) -> Self {
        Self {
            is_for_reading: true,
            ..self
        }
    }
}

/// The error for a URL that cannot be used. It shows no part of it, since it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    #[error(
        "cannot read the database URL: write `postgres://user:password@host:5432/database`, or \
         `postgres://user:password@one:5432,two:5432/database` for several servers"
    )]
    Unreadable,
    #[error(
        "the database URL asks for a server by `target_session_attrs` that this service cannot use: write \
         `target_session_attrs=read-write`, or leave it out"
    )]
    Role,
}

impl From<PgConnectOptions> for DatabaseAddress {
    fn from(server: PgConnectOptions) -> Self {
        Self {
            servers: vec![server],
            is_pooled: false,
            is_for_reading: false,
        }
    }
}

impl FromStr for DatabaseAddress {
    type Err = InvalidUrl;

    fn from_str(url: &str) -> Result<Self, InvalidUrl> {
        let (scheme, rest) = url.split_once("://").ok_or(InvalidUrl::Unreadable)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let user = if user.is_empty() {
            String::new()
        } else {
            format!("{user}@")
        };
        let query = Query::read(query)?;
        let server = |host: &str| {
            let url = format!("{scheme}://{user}{host}{path}?{}", query.others.join("&"));
            let server = PgConnectOptions::from_str(&url).map_err(|_| InvalidUrl::Unreadable)?;
            // Poolers refuse a parameter that they do not know, and this one changes nothing here.
            Ok(server
                .application_name("throughline")
                .extra_float_digits(None))
        };
        let servers = hosts.split(',').map(server).collect::<Result<_, _>>()?;
        Ok(Self {
            servers,
            is_pooled: query.is_pooled,
            is_for_reading: false,
        })
    }
}

/// The parameters of a URL.
#[derive(Debug, Default)]
struct Query<'a> {
    is_pooled: bool,
    /// Those that the driver reads.
    others: Vec<&'a str>,
}

impl<'a> Query<'a> {
    fn read(text: &'a str) -> Result<Self, InvalidUrl> {
        let mut query = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=').unwrap_or((pair, "")) {
                ("pgbouncer", is_pooled) => query.is_pooled |= is_pooled == "true",
                ("statement-cache-capacity" | "statement_cache_capacity", "0") => {
                    query.is_pooled = true;
                }
                ("target_session_attrs", "read-write" | "primary" | "any") => {}
                ("target_session_attrs", _) => return Err(InvalidUrl::Role),
                // The driver would take the list for the name of one host.
                ("host" | "hostaddr" | "port", list) if list.contains(',') => {
                    return Err(InvalidUrl::Unreadable);
                }
                _ => query.others.push(pair),
            }
        }
        Ok(query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(url: &str) -> Result<Vec<(String, u16)>, InvalidUrl> {
        let address = DatabaseAddress::from_str(url)?;
        let servers = address.servers.iter();
        Ok(servers
            .map(|server| (server.get_host().to_owned(), server.get_port()))
            .collect())
    }

    fn is_pooled(query: &str) -> bool {
        let url = format!("postgres://shop@db/orders?{query}");
        DatabaseAddress::from_str(&url).unwrap().is_pooled
    }

    #[test]
    fn a_url_names_one_server_or_several() {
        let host = |name: &str, port| (name.to_owned(), port);
        assert_eq!(
            hosts("postgres://shop:pass@db:5433/orders"),
            Ok(vec![host("db", 5433)])
        );
        assert_eq!(
            hosts("postgresql://shop@one,[::1]:5433/orders?target_session_attrs=read-write"),
            Ok(vec![host("one", 5432), host("[::1]", 5433)])
        );
    }

    #[test]
    fn all_servers_have_the_same_user_and_database() {
        let url = "postgres://shop:p%40ss@one,two/orders?sslmode=require";
        for server in DatabaseAddress::from_str(url).unwrap().servers {
            assert_eq!(server.get_username(), "shop");
            assert_eq!(server.get_database(), Some("orders"));
            assert_eq!(server.get_application_name(), Some("throughline"));
        }
    }

    #[test]
    fn a_socket_is_one_server() {
        let address = DatabaseAddress::from_str("postgres://shop@%2Ftmp%2Fa/orders").unwrap();
        assert_eq!(address.servers.len(), 1);
        assert!(address.servers[0].get_socket().is_some());
    }

    #[test]
    fn a_pooler_is_named_as_other_tools_name_it() {
        assert!(is_pooled("pgbouncer=true"));
        assert!(is_pooled("statement-cache-capacity=0"));
        assert!(!is_pooled("pgbouncer=false"));
        assert!(!is_pooled("statement-cache-capacity=100"));
    }

    #[test]
    fn a_role_that_takes_no_writes_and_a_list_in_a_parameter_are_refused() {
        let refused = |query: &str| hosts(&format!("postgres://shop@db/orders?{query}")).err();
        assert_eq!(
            refused("target_session_attrs=standby"),
            Some(InvalidUrl::Role)
        );
        assert_eq!(refused("host=one,two"), Some(InvalidUrl::Unreadable));
        assert_eq!(hosts("db:5432"), Err(InvalidUrl::Unreadable));
    }
}
