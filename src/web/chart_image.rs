//! `/charts/{transition}.png`: the chart of a message, for everyone who has its signed URL.
//!
//! Drawing takes about 30 ms of a CPU, so few are drawn at a time and the latest are cached.

use std::{
    collections::VecDeque,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use axum::{
    body::Bytes,
    extract::{Path, Query},
    http::{HeaderName, header},
    response::{IntoResponse as _, Response},
};
use resvg::{
    tiny_skia::{Pixmap, Transform},
    usvg::{Options, Tree, fontdb},
};
use serde::Deserialize;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{
    chart::{self, CARD_HEIGHT, CARD_WIDTH},
    error::WebError,
    page::Negotiation,
    state::WebState,
};
use crate::domain::{alerting::snapshot::AlertSnapshot, notify::signed_links::SignedLinks};

const DRAWN_AT_ONCE: usize = 2;
const KEPT: usize = 32;

/// The charts that were drawn last, and the permits for drawing. Clones share them.
#[derive(Clone, Debug)]
pub struct Cards(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    turns: Semaphore,
    kept: Mutex<VecDeque<(Uuid, Bytes)>>,
}

impl Default for Cards {
    fn default() -> Self {
        Self(Arc::new(Shared {
            turns: Semaphore::new(DRAWN_AT_ONCE),
            kept: Mutex::default(),
        }))
    }
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct ChartQuery {
    /// The signature of the URL.
    #[serde(default)]
    token: String,
}

pub(super) async fn get(
    asked: Negotiation,
    state: WebState,
    Path(name): Path<String>,
    Query(params): Query<ChartQuery>,
) -> Response {
    match shown(&state, &name, &params.token).await {
        Ok((png, secs)) => {
            let headers: [(HeaderName, String); 2] = [
                (header::CONTENT_TYPE, "image/png".to_owned()),
                (header::CACHE_CONTROL, format!("private, max-age={secs}")),
            ];
            (headers, png).into_response()
        }
        Err(error) => asked.refuse(&state, &error),
    }
}

/// Returns the image, and for how many seconds its URL is still valid.
async fn shown(state: &WebState, name: &str, token: &str) -> Result<(Bytes, u64), WebError> {
    let id = name.strip_suffix(".png").and_then(|id| id.parse().ok());
    let id: Uuid = id.ok_or(WebError::NoSuchPage)?;
    let now = state.clock.now();
    // An invalid signature gets no hint at other valid URLs.
    let until = SignedLinks::check_chart(&state.signing_key, id, token, now)
        .map_err(|_| WebError::NoSuchPage)?;
    let secs = until.saturating_since(now).as_secs();
    if let Some(png) = state.cards.kept(id) {
        return Ok((png, secs));
    }
    let mut tx = state.reads().begin("read a message").await?;
    let told = tx.transition(id).await?.ok_or(WebError::NoSuchPage)?;
    drop(tx);
    let png = state.cards.draw(id, told.facts).await?;
    Ok((png, secs))
}

impl Cards {
    fn kept(&self, id: Uuid) -> Option<Bytes> {
        let kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().find(|(kept, _)| *kept == id);
        found.map(|(_, png)| png.clone())
    }

    async fn draw(&self, id: Uuid, facts: AlertSnapshot) -> Result<Bytes, WebError> {
        let _turn = self.0.turns.acquire().await;
        if let Some(png) = self.kept(id) {
            return Ok(png);
        }
        let drawn = tokio::task::spawn_blocking(move || png(&facts)).await;
        let png = drawn.ok().flatten().ok_or(WebError::NoSuchPage)?;
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.truncate(KEPT - 1);
        kept.push_front((id, png.clone()));
        Ok(png)
    }
}

/// The embedded fonts: the container image may have none.
static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    for font in [notosans::REGULAR_TTF, notosans::BOLD_TTF] {
        fonts.load_font_source(fontdb::Source::Binary(Arc::new(font)));
    }
    Arc::new(fonts)
});

/// Draws the image; `None` if the snapshot has no trend.
fn png(facts: &AlertSnapshot) -> Option<Bytes> {
    let options = Options {
        fontdb: Arc::clone(&FONTS),
        ..Options::default()
    };
    let tree = Tree::from_str(&chart::card(facts)?, &options).ok()?;
    let mut pixels = Pixmap::new(CARD_WIDTH, CARD_HEIGHT)?;
    resvg::render(&tree, Transform::identity(), &mut pixels.as_mut());
    pixels.encode_png().ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::notify::sample;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

    #[test]
    fn a_picture_is_a_png_with_letters_in_it() {
        let with = png(&sample::firing()).unwrap();
        assert!(with.starts_with(PNG));
        let mut nameless = sample::firing();
        nameless.display_name = String::new();
        assert_ne!(png(&nameless).unwrap(), with, "its name can be read");
        let mut unknown = sample::firing();
        unknown.context.trend = None;
        assert_eq!(png(&unknown), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn t29_whatever_the_facts_a_picture_is_drawn(facts in sample::arbitrary()) {
            let svg = chart::card(&facts).unwrap();
            prop_assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{svg}");
            prop_assert!(Tree::from_str(&svg, &Options::default()).is_ok(), "{svg}");
        }
    }
}
