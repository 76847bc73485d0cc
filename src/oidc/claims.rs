//! The claims about a user in an ID token and the provider's user info.

use openidconnect::{
    AccessTokenHash, AdditionalClaims, ClaimsVerificationError, Client, EmptyExtraTokenFields,
    EndpointMaybeSet, EndpointNotSet, EndpointSet, IdTokenClaims, IdTokenFields, Nonce,
    OAuth2TokenResponse as _, SignatureVerificationError, StandardErrorResponse,
    StandardTokenResponse, UserInfoClaims, UserInfoError,
    core::{
        CoreAuthDisplay, CoreAuthPrompt, CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey,
        CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreRevocableToken,
        CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    LoginError,
    http::{HttpClient, HttpError},
};
use crate::domain::{access::AuthenticatedUser, model::time::Timestamp};

/// The asymmetric algorithms, with which only the holder of the private key can sign. A signature
/// by the client secret is no better than that secret, and `none` is no signature.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// The claims that no standard names, such as groups.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct OtherClaims {
    #[serde(flatten)]
    values: Map<String, Value>,
}

impl AdditionalClaims for OtherClaims {}

pub(super) type IdToken = openidconnect::IdToken<
    OtherClaims,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
pub(super) type Claims = IdTokenClaims<OtherClaims, CoreGenderClaim>;
pub(super) type ErrorAnswer = StandardErrorResponse<CoreErrorResponseType>;
pub(super) type TokenAnswer = StandardTokenResponse<
    IdTokenFields<
        OtherClaims,
        EmptyExtraTokenFields,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    >,
    CoreTokenType,
>;
pub(super) type OidcClient = Client<
    OtherClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    ErrorAnswer,
    TokenAnswer,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// The known data of a user.
#[derive(Debug, Default)]
pub(super) struct KnownUser {
    name: Option<String>,
    groups: Option<Vec<String>>,
}

/// Returns the claims of a token that the provider has signed for this client and this login, and that
/// is valid at `now`.
pub(super) fn verify<'t>(
    client: &OidcClient,
    token: &'t IdToken,
    nonce: &Nonce,
    now: Timestamp,
) -> Result<&'t Claims, ClaimsVerificationError> {
    let verifier = client.id_token_verifier();
    let verifier = verifier.set_allowed_algs(ALGORITHMS);
    let verifier = verifier.set_time_fn(|| now.to_chrono());
    token.claims(&verifier, nonce)
}

pub(super) const fn is_unknown_key(error: &ClaimsVerificationError) -> bool {
    matches!(
        error,
        ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey)
    )
}

/// Fails if the access token is not the one that was issued with the ID token.
pub(super) fn check_access_token(
    client: &OidcClient,
    token: &IdToken,
    claims: &Claims,
    tokens: &TokenAnswer,
) -> Result<(), LoginError> {
    let Some(expected) = claims.access_token_hash() else {
        return Ok(());
    };
    let verifier = client.id_token_verifier().set_allowed_algs(ALGORITHMS);
    let algorithm = token.signing_alg().ok();
    let key = token.signing_key(&verifier).ok();
    let actual = algorithm.zip(key).and_then(|(algorithm, key)| {
        AccessTokenHash::from_token(tokens.access_token(), algorithm, key).ok()
    });
    if actual.as_ref() == Some(expected) {
        Ok(())
    } else {
        let problem = "the access token belongs to another one";
        Err(LoginError::InvalidToken(problem.to_owned()))
    }
}

pub(super) fn of_id_token(claims: &Claims, groups_claim: &str) -> KnownUser {
    KnownUser {
        name: claims
            .preferred_username()
            .map(|name| name.to_string())
            .or_else(|| claims.email().map(|email| email.to_string())),
        groups: groups(&claims.additional_claims().values, groups_claim),
    }
}

/// Requests the claims that the ID token lacks; many providers put groups and names only there.
pub(super) async fn user_info(
    client: &OidcClient,
    tokens: &TokenAnswer,
    claims: &Claims,
    groups_claim: &str,
    http: &HttpClient,
) -> Result<KnownUser, LoginError> {
    let subject = claims.subject().clone();
    let Ok(request) = client.user_info(tokens.access_token().clone(), Some(subject)) else {
        return Ok(KnownUser::default());
    };
    let answer: UserInfoClaims<OtherClaims, CoreGenderClaim> =
        request.request_async(http).await.map_err(user_info_error)?;
    Ok(KnownUser {
        name: answer
            .preferred_username()
            .map(|name| name.to_string())
            .or_else(|| answer.email().map(|email| email.to_string())),
        groups: groups(&answer.additional_claims().values, groups_claim),
    })
}

impl KnownUser {
    pub(super) const fn is_complete(&self) -> bool {
        self.name.is_some() && self.groups.is_some()
    }

    /// Adds what is not known yet.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            name: self.name.or(other.name),
            groups: self.groups.or(other.groups),
        }
    }

    pub(super) fn identity(self, subject: &str, id_token: String) -> AuthenticatedUser {
        AuthenticatedUser {
            subject: subject.to_owned(),
            name: self.name.unwrap_or_else(|| subject.to_owned()),
            groups: self.groups.unwrap_or_default(),
            id_token,
        }
    }
}

/// Reads the claim `name`, a list of texts or one text. If there is no such claim, dots separate
/// the names of nested claims, as in `realm_access.roles`.
fn groups(claims: &Map<String, Value>, name: &str) -> Option<Vec<String>> {
    let nested = || {
        let mut names = name.split('.');
        let first = claims.get(names.next()?)?;
        names.try_fold(first, |value, name| value.get(name))
    };
    match claims.get(name).or_else(nested)? {
        Value::String(group) => Some(vec![group.clone()]),
        Value::Array(groups) => {
            let texts = groups.iter().filter_map(Value::as_str);
            Some(texts.map(str::to_owned).collect())
        }
        _ => None,
    }
}

/// Makes the error without the body, which contains personal data.
fn user_info_error(error: UserInfoError<HttpError>) -> LoginError {
    match error {
        UserInfoError::Request(error) => LoginError::Unavailable(error.to_string()),
        UserInfoError::Response(status, ..) => {
            LoginError::InvalidAnswer(format!("its user info answers {status}"))
        }
        UserInfoError::ClaimsVerification(error) => LoginError::InvalidToken(error.to_string()),
        _ => LoginError::InvalidAnswer("it is no user info".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn groups_are_read_from_the_forms_that_providers_use() {
        let claims = json!({
            "groups": ["sre", "dev", 7],
            "role": "admin",
            "realm_access": { "roles": ["sre"] },
            "https://slo.example/groups": ["dev"],
            "email_verified": true,
        });
        let claims = claims.as_object().unwrap();
        let read = |name| groups(claims, name);
        let texts = |texts: &[&str]| Some(texts.iter().map(|&text| text.to_owned()).collect());
        assert_eq!(read("groups"), texts(&["sre", "dev"]));
        assert_eq!(read("role"), texts(&["admin"]));
        assert_eq!(read("realm_access.roles"), texts(&["sre"]));
        assert_eq!(read("https://slo.example/groups"), texts(&["dev"]));
        for missing in ["teams", "email_verified", "groups.all", "realm_access.x"] {
            assert_eq!(read(missing), None, "{missing}");
        }
    }
}
