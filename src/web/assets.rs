//! The style sheet, the script and the icons: built in, named by a hash of their content, and
//! cached permanently.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};

use super::page::fingerprint;

pub(super) struct Asset {
    /// Contains a hash of the content, so it may be cached permanently.
    pub(super) path: String,
    content: &'static str,
    content_type: &'static str,
}

static STYLE: LazyLock<Asset> = LazyLock::new(|| Asset {
    path: format!(
        "/assets/{}.css",
        fingerprint(include_bytes!("assets/style.css"))
    ),
    content: include_str!("assets/style.css"),
    content_type: "text/css; charset=utf-8",
});

static SCRIPT: LazyLock<Asset> = LazyLock::new(|| Asset {
    path: format!(
        "/assets/{}.js",
        fingerprint(include_bytes!("assets/app.js"))
    ),
    content: include_str!("assets/app.js"),
    content_type: "text/javascript; charset=utf-8",
});

pub(super) fn style() -> &'static Asset {
    &STYLE
}

pub(super) fn script() -> &'static Asset {
    &SCRIPT
}

pub(super) async fn get(Path(name): Path<String>) -> Response {
    let asset = [style(), script()]
        .into_iter()
        .find(|asset| asset.path.strip_prefix("/assets/") == Some(&name));
    match asset {
        Some(asset) => (
            [
                (header::CONTENT_TYPE, asset.content_type),
                (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
            ],
            asset.content,
        )
            .into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Returns the icon of the browser tab, which shows the state by colour and shape.
pub(super) async fn favicon(Path(state): Path<String>) -> Response {
    let (colour, shape) = match state.as_str() {
        "page.svg" => ("#c0281e", "M5 .8h6L15.2 5v6L11 15.2H5L.8 11V5z"),
        "ticket.svg" => ("#a86400", "M8 .9 15.6 14.6H.4z"),
        "ok.svg" => ("#0f7a68", "M8 1a7 7 0 1 0 .01 0z"),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path fill="{colour}" d="{shape}"/></svg>"#
    );
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml"),
        (header::CACHE_CONTROL, "public, max-age=86400"),
    ];
    (headers, svg).into_response()
}
