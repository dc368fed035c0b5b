//! One worker: a thread with a single-threaded runtime, its own listening sockets and its own upstream connections.

use super::pulse::Asked;
use super::{HOUSEKEEPING, Word};
use crate::gateway::Gateway;
use crate::listener::socket::Bound;
use crate::listener::{self, Listener};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::time::{Instant, interval};

/// Starts worker `index` on its share of the listening sockets; it ends at the last word.
///
/// # Errors
/// When the system refuses a runtime or a thread.
pub(super) fn spawn(
    index: usize,
    share: Vec<(Bound, Listener)>,
    mut asked: Asked,
    gateway: &Arc<Gateway>,
    word: &Word,
) -> io::Result<JoinHandle<()>> {
    let (gateway, word) = (gateway.clone(), word.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(move || {
            runtime.block_on(async {
                if let Some(shared) = gateway.guard.shared() {
                    shared.attach(index);
                }
                for (socket, listener) in share {
                    match socket.listen() {
                        Ok(listening) => drop(tokio::spawn(listener::run(
                            listening,
                            Arc::new(listener),
                            word.stop.clone(),
                        ))),
                        Err(error) => tracing::error!(%error, "a worker cannot listen"),
                    }
                }
                let mut housekeeping = interval(HOUSEKEEPING);
                loop {
                    tokio::select! {
                        () = word.finish.begun() => break,
                        Some(answer) = asked.recv() => drop(answer.send(())),
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
