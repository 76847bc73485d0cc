//! Settings of logging in at a provider of OpenID Connect.

use std::path::PathBuf;

use clap::Args;
use secrecy::SecretString;

use crate::domain::access::{AccessRole, GroupRole};

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Login with OpenID Connect")]
pub struct OidcConfig {
    /// Issuer URL of the provider for `--auth oidc`, exactly as in its tokens: the part before
    /// `/.well-known/openid-configuration`. `https`, or `http` on this machine
    #[arg(
        long = "oidc-issuer",
        env = "THROUGHLINE_OIDC_ISSUER",
        value_name = "URL",
        required_if_eq("auth", "oidc"),
        requires = "public_url"
    )]
    pub issuer: Option<String>,
    /// Id of this service at the provider, where it is registered with the redirect URI
    /// `/login/callback` below `--public-url`
    #[arg(
        long = "oidc-client-id",
        env = "THROUGHLINE_OIDC_CLIENT_ID",
        value_name = "ID",
        required_if_eq("auth", "oidc")
    )]
    pub client_id: Option<String>,
    /// Secret of this service at the provider. Use the variable: a flag is visible in the list of
    /// processes. Without a secret the client is public
    #[arg(
        long = "oidc-client-secret",
        env = "THROUGHLINE_OIDC_CLIENT_SECRET",
        value_name = "SECRET",
        hide_env_values = true,
        conflicts_with = "client_secret_file"
    )]
    pub client_secret: Option<SecretString>,
    /// File with that secret. It is read at each login, so the secret can be replaced
    #[arg(
        long = "oidc-client-secret-file",
        env = "THROUGHLINE_OIDC_CLIENT_SECRET_FILE",
        value_name = "FILE"
    )]
    pub client_secret_file: Option<PathBuf>,
    /// Scopes to ask for besides `openid`. Separate several by spaces
    #[arg(
        long = "oidc-scopes",
        env = "THROUGHLINE_OIDC_SCOPES",
        value_name = "SCOPES",
        value_delimiter = ' ',
        default_value = "profile email"
    )]
    pub scopes: Vec<String>,
    /// Claim with the groups of a user, in the ID token or the user info. Dots lead into nested claims,
    /// as in `realm_access.roles`
    #[arg(
        long = "oidc-groups-claim",
        env = "THROUGHLINE_OIDC_GROUPS_CLAIM",
        value_name = "CLAIM",
        default_value = "groups"
    )]
    pub groups_claim: String,
    /// Role of the members of a group, as `sre=admin;developers=editor`, or for the SLOs of a team or
    /// namespace, as `payments=editor@team/payments;shop=viewer@namespace/shop`. A member of several
    /// groups has all of their roles
    #[arg(
        long = "oidc-group-roles",
        env = "THROUGHLINE_OIDC_GROUP_ROLES",
        value_name = "GROUP=ROLE",
        value_delimiter = ';'
    )]
    pub group_roles: Vec<GroupRole>,
    /// Role of users who are in none of these groups. If unset, they cannot log in
    #[arg(
        long = "oidc-default-role",
        env = "THROUGHLINE_OIDC_DEFAULT_ROLE",
        value_name = "ROLE"
    )]
    pub default_role: Option<AccessRole>,
}
