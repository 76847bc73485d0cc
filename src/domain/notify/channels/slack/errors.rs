//! The errors of Slack, which it names in the body.

use crate::domain::notify::delivery::AttemptClass;

/// Errors of Slack that concern the message.
const REJECTED: [&str; 13] = [
    "invalid_payload",
    "user_not_found",
    "no_text",
    "invalid_blocks",
    "invalid_blocks_format",
    "invalid_attachments",
    "too_many_attachments",
    "msg_too_long",
    "msg_blocks_too_long",
    "invalid_arguments",
    "invalid_json",
    "invalid_form_data",
    "markdown_text_conflict",
];

/// Errors of Slack that concern the webhook, the bot or the channel: a person must correct the
/// configuration.
const MISCONFIGURED: [&str; 30] = [
    "action_prohibited",
    "posting_to_general_channel_denied",
    "invalid_token",
    "no_active_hooks",
    "team_disabled",
    "channel_not_found",
    "no_service",
    "no_service_id",
    "no_team",
    "channel_is_archived",
    "is_archived",
    "not_in_channel",
    "token_revoked",
    "token_expired",
    "account_inactive",
    "invalid_auth",
    "not_authed",
    "missing_scope",
    "no_permission",
    "access_denied",
    "ekm_access_denied",
    "enterprise_is_restricted",
    "team_access_not_granted",
    "not_allowed_token_type",
    "org_login_required",
    "restricted_action",
    "restricted_action_read_only_channel",
    "restricted_action_thread_only_channel",
    "messages_tab_disabled",
    "method_deprecated",
];

/// Temporary errors of Slack.
const UNAVAILABLE: [&str; 6] = [
    "rollup_error",
    "internal_error",
    "fatal_error",
    "service_unavailable",
    "request_timeout",
    "team_added_to_org",
];

/// Returns `None` for an unknown error.
pub fn class_of(error: &str) -> Option<AttemptClass> {
    match error {
        "rate_limited" | "ratelimited" => Some(AttemptClass::RateLimited),
        error if UNAVAILABLE.contains(&error) => Some(AttemptClass::Unavailable),
        error if REJECTED.contains(&error) => Some(AttemptClass::Rejected),
        error if MISCONFIGURED.contains(&error) => Some(AttemptClass::Misconfigured),
        _ => None,
    }
}
