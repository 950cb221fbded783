//! Who is calling, and within which limits.
//!
//! A caller is a connection whose client certificate verified ([`listener`], [`trust`]) and names one system
//! ([`identity`]). Every call passes one short stack ([`stack`]) before a service sees it.
use std::future::Future;
use std::time::Duration;

use tonic::service::Routes;

use crate::config::{Limits, Listen};
use crate::telemetry::Metrics;

pub mod admin;
mod body;
pub mod caller;
pub mod catalogue_service;
pub mod document_service;
pub mod exchange_service;
mod gather;
pub mod identity;
pub mod intake_service;
pub mod licence_service;
pub mod listener;
pub mod operator;
mod overload;
pub mod page;
pub mod receipt_service;
pub mod seal_service;
pub mod seal_system;
pub mod share;
pub mod stack;
pub mod status;
#[cfg(test)]
mod tests;

/// Answers calls to `routes` until `shutdown` completes, then takes no new connection and lets open calls finish within
/// `listen.drain_ms_max`.
///
/// # Errors
/// What the gRPC library says; it has no failure of its own once the port is bound.
pub async fn serve(
    listener: listener::Listener,
    routes: Routes,
    (listen, limits, metrics): (&Listen, &Limits, &Metrics),
    shutdown: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    let (begin, begun) = tokio::sync::oneshot::channel();
    let signal = async {
        shutdown.await;
        // The other end is gone only when the server has already ended.
        let _ended = begin.send(());
    };
    let drained = async {
        match begun.await {
            Ok(()) => tokio::time::sleep(Duration::from_millis(listen.drain_ms_max)).await,
            Err(_) => std::future::pending().await,
        }
    };
    let server = listener::http2(listen, limits).layer(stack::stack(limits, metrics)).add_routes(routes);
    tokio::select! {
        ended = server.serve_with_incoming_shutdown(listener.incoming(), signal) => ended,
        // What is still open now ends with the process; its callers see a lost connection and ask again.
        () = drained => Ok(()),
    }
}
pub mod trust;
