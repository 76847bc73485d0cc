//! stub
mod state;
use axum::Router;
pub use state::{DefinitionsStatus, IngestFacts, IngestProbe, Listening, WebState};
pub fn router(_state: WebState) -> Router {
    Router::new()
}

/// Serves until `shutdown`, then finishes what is under way.
pub async fn serve(
    listener: tokio::net::TcpListener,
    state: WebState,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    let served = axum::serve(listener, router(state))
        .with_graceful_shutdown(shutdown)
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the pages are no longer served");
    }
}
