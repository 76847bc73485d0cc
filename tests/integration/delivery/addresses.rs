//! What a target's address may lead to, however it is written.

use throughline::{
    deliver::{AddressPolicy, DeliverSettings},
    domain::notify::delivery::AttemptClass::{Delivered, Dns, Forbidden},
};

use super::world::TestBench;
use crate::support::receiver::{Receiver, Reply};

#[tokio::test]
pub(crate) async fn t26_no_spelling_of_a_private_address_is_sent_to() {
    let mut world = TestBench::guarded(DeliverSettings::default()).await;
    let receiver = Receiver::start([]).await;
    let port = receiver.url.rsplit(':').next().unwrap().to_owned();
    for (index, host) in [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "0177.0.0.1",
        "2130706433",
        "127.0.0.1.",
        "１２７.０.０.１",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "user:pass@127.0.0.1",
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("hook-{index}");
        let hook = world.declare_webhook(&name, &format!("http://{host}:{port}/"));
        let transition = world.fires(&name, &[&hook]).await;
        assert_eq!(world.deliver(&hook).await.attempts, [Forbidden], "{host}");
        let (_, attempts) = world.delivery(transition).await;
        let excerpt = attempts[0].excerpt.as_deref().unwrap();
        assert!(excerpt.starts_with("not sent: "), "{host}: {excerpt}");
    }
    assert_eq!(receiver.requests().len(), 0);
}

#[tokio::test]
pub(crate) async fn t26_a_redirect_leads_no_further_than_its_answer() {
    let mut world = TestBench::create().await;
    let inner = Receiver::start([]).await;
    let location = inner.url.replace("127.0.0.1", "0x7f.1");
    let receiver = Receiver::start([Reply::Header(302, "location", location)]).await;
    let hook = world.declare_webhook("hook", &receiver.url);
    world.fires("checkout", &[&hook]).await;
    world.deliver(&hook).await;
    assert_eq!((receiver.requests().len(), inner.requests().len()), (1, 0));
}

#[tokio::test]
pub(crate) async fn t26_what_is_opened_is_reached_by_literal_and_by_name_and_nothing_else() {
    let loopback = vec!["127.0.0.1/32".parse().unwrap()];
    let mut world = TestBench::guarded(DeliverSettings {
        addresses: AddressPolicy::new(loopback, vec![443]),
        ..DeliverSettings::default()
    })
    .await;
    let receiver = Receiver::start([]).await;
    let by_name = receiver.url.replace("127.0.0.1", "localhost");
    let other = receiver.url.replace("127.0.0.1", "127.0.0.2");
    let public = "http://198.41.0.4:25/".to_owned();
    for (name, url, expected) in [
        ("literal", receiver.url.clone(), Delivered),
        ("name", by_name, Delivered),
        ("neighbour", other, Forbidden),
        ("mail", public, Forbidden),
    ] {
        let hook = world.declare_webhook(name, &url);
        world.fires(name, &[&hook]).await;
        assert_eq!(world.deliver(&hook).await.attempts, [expected], "{name}");
    }
    assert_eq!(receiver.requests().len(), 2);
}

#[tokio::test]
pub(crate) async fn t23_a_name_without_an_address_is_called_that_and_tried_again() {
    let mut world = TestBench::with(DeliverSettings::default()).await;
    // No resolver knows the names below `.invalid` (RFC 6761).
    let hook = world.declare_webhook("hook", "https://hooks.invalid/");
    let transition = world.fires("checkout", &[&hook]).await;
    assert_eq!(world.deliver(&hook).await.attempts, [Dns]);
    let (_, attempts) = world.delivery(transition).await;
    let excerpt = attempts[0].excerpt.as_deref().unwrap();
    assert!(
        excerpt.starts_with("its name cannot be resolved: "),
        "{excerpt}"
    );
    assert!(attempts[0].retry_at.is_some());
}
