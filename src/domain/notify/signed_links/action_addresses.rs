//! Signed URLs in a message for actions of its reader.

use std::time::Duration;

use crate::domain::{
    alerting::{alert::TransitionKind, snapshot::AlertSnapshot},
    model::time::Timestamp,
    notify::{
        Actions,
        signed_links::signing::{Purpose, SigningKey},
    },
};

/// The time within which a person may acknowledge from a message.
const ACKNOWLEDGE_FOR: Duration = Duration::from_hours(7 * 24);
/// Shorter, since an alert that still fires is notified again by then.
const SILENCE_FOR: Duration = Duration::from_hours(24);

/// The signing key, and the URL of the pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionAddresses {
    base: String,
    key: SigningKey,
}

impl ActionAddresses {
    /// Makes the signer. `public_url` is the URL of the pages for people.
    pub fn new(public_url: &str, key: SigningKey) -> Self {
        Self {
            base: public_url.trim_end_matches('/').to_owned(),
            key,
        }
    }

    /// Returns the actions for an active alert; none for one that has ended.
    pub fn of(&self, facts: &AlertSnapshot, now: Timestamp) -> Actions {
        if !facts.kind.lasts() {
            return Actions::default();
        }
        let episode = facts.episode.to_string();
        let address = |action: &str, purpose, lasts| {
            let token = self.key.token(purpose, &episode, now + lasts);
            format!("{}/actions/{action}/{episode}?token={token}", self.base)
        };
        Actions {
            acknowledge: (facts.kind != TransitionKind::Acknowledged)
                .then(|| address("acknowledge", Purpose::Acknowledge, ACKNOWLEDGE_FOR)),
            silence: Some(address("silence", Purpose::Silence, SILENCE_FOR)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::notify::sample;

    #[test]
    fn what_goes_on_can_be_acted_on_and_what_is_over_cannot() {
        let addresses = ActionAddresses::new("https://slo.example.com/", SigningKey::new([7; 32]));
        let now = Timestamp::from_secs(1_795_328_700);
        let actions = addresses.of(&sample::firing(), now);
        let acknowledge = actions.acknowledge.unwrap();
        let episode = sample::firing().episode;
        let (address, token) = acknowledge.split_once("?token=").unwrap();
        assert_eq!(
            address,
            format!("https://slo.example.com/actions/acknowledge/{episode}")
        );
        let subject = (Purpose::Acknowledge, episode.to_string());
        let until = SigningKey::new([7; 32]).check(token, subject.0, &subject.1, now);
        assert_eq!(until, Ok(now + ACKNOWLEDGE_FOR));
        assert!(
            actions.silence.is_some_and(|url| url.len() < 255),
            "buttons take no more"
        );
        assert_eq!(addresses.of(&sample::resolved(), now), Actions::default());
    }
}
