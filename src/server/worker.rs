//! A worker: a thread with a single-threaded runtime, its own listening sockets and its own upstream connections.

use super::HOUSEKEEPING;
use super::heartbeat::HeartbeatRequests;
use super::signals::ShutdownSignals;
use crate::gateway::Gateway;
use crate::listener::socket::BoundSocket;
use crate::listener::{self, Listener};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::time::{Instant, interval};

/// Starts worker `index`, which accepts connections on `sockets`. It ends at [`ShutdownSignals::end`].
///
/// # Errors
/// When the system cannot create a runtime or a thread.
pub(super) fn spawn(
    index: usize,
    sockets: Vec<(BoundSocket, Listener)>,
    mut heartbeats: HeartbeatRequests,
    gateway: &Arc<Gateway>,
    signals: &ShutdownSignals,
) -> io::Result<JoinHandle<()>> {
    let (gateway, signals) = (gateway.clone(), signals.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(move || {
            runtime.block_on(async {
                if let Some(shared) = gateway.guard.shared() {
                    shared.attach(index);
                }
                for (socket, listener) in sockets {
                    match socket.listen() {
                        Ok(listening) => drop(tokio::spawn(listener::run(
                            listening,
                            Arc::new(listener),
                            signals.stop_accepting.clone(),
                        ))),
                        Err(error) => tracing::error!(%error, "the worker cannot listen on a socket"),
                    }
                }
                let mut housekeeping = interval(HOUSEKEEPING);
                loop {
                    tokio::select! {
                        () = signals.end.wait() => break,
                        Some(response) = heartbeats.recv() => drop(response.send(())),
                        _ = housekeeping.tick() => {
                            for upstream in gateway.snapshot.load().upstreams() {
                                upstream.sweep(index, Instant::now());
                            }
                        }
                    }
                }
            });
        })
}
