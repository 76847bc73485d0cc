//! Whom a test lets the service notify.

use throughline::domain::{
    model::ids::Name,
    slo::{SecretOrPlain, SecretRef, Target, TargetKind, WebhookFormat},
};

use super::TestApp;
use crate::support::{
    receiver::{Receiver, Reply},
    validators::SIGNING_SECRET,
};

impl TestApp {
    /// A webhook target of this name, and who listens there.
    pub(crate) async fn receiver(
        &self,
        target: &str,
        script: impl IntoIterator<Item = Reply>,
    ) -> Receiver {
        let receiver = Receiver::start(script).await;
        self.declare_webhook(target, &receiver.url);
        receiver
    }

    pub(crate) fn declare_webhook(&self, name: &str, url: &str) -> Name {
        self.declare_formatted(name, url, WebhookFormat::default())
    }

    pub(crate) fn declare_formatted(&self, name: &str, url: &str, format: WebhookFormat) -> Name {
        let secret = Some(self.secret("signing", SIGNING_SECRET));
        let url = SecretOrPlain::Plain(url.to_owned());
        let kind = TargetKind::Webhook {
            url,
            secret,
            format,
        };
        self.declare_target(Target::new(name.parse().unwrap(), kind))
    }

    /// Writes a secret where targets find it.
    pub(crate) fn secret(&self, name: &str, value: &str) -> SecretRef {
        let path = self.secrets.path().join(name);
        std::fs::write(&path, format!("{value}\n")).unwrap();
        SecretRef::File(path.display().to_string())
    }

    /// As when the volume that they are on is gone.
    pub(crate) fn forget_secrets(&self) {
        for secret in std::fs::read_dir(self.secrets.path()).unwrap() {
            std::fs::remove_file(secret.unwrap().path()).unwrap();
        }
    }
}
