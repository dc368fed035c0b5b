//! Checks for the watchdog that every worker responds.
//!
//! A request is sent to the runtime of each worker. The watchdog is pinged only after all workers have responded. When
//! a worker hangs in a task or has ended, the pings stop, and the service manager restarts the process.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

/// The heartbeat requests that a worker receives. Its serving loop responds to each.
pub(super) type HeartbeatRequests = mpsc::UnboundedReceiver<oneshot::Sender<()>>;

/// The channels to all workers.
#[derive(Debug, Default)]
pub(super) struct Heartbeat {
    workers: Vec<mpsc::UnboundedSender<oneshot::Sender<()>>>,
}

impl Heartbeat {
    /// Adds a worker and returns its end of the channel.
    pub(super) fn add_worker(&mut self) -> HeartbeatRequests {
        let (sender, requests) = mpsc::unbounded_channel();
        self.workers.push(sender);
        requests
    }

    /// Checks the workers at half the `period` of the watchdog (`sd_watchdog_enabled(3)`) and calls `ping` each time
    /// all have responded. Never calls it without a `period`, or after a worker has ended.
    pub(super) async fn run(self, period: Option<Duration>, ping: impl Fn()) -> Infallible {
        let Some(period) = period else {
            return pending().await;
        };
        let mut ticks = interval(period / 2);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(worker) = self.check_workers().await {
                tracing::error!(worker, "a worker has ended: no more watchdog pings are sent");
                return pending().await;
            }
            ping();
        }
    }

    /// Waits until all workers have responded.
    ///
    /// # Errors
    /// The index of a worker that has ended.
    async fn check_workers(&self) -> Result<(), usize> {
        let mut responses = Vec::with_capacity(self.workers.len());
        for (index, worker) in self.workers.iter().enumerate() {
            let (respond, response) = oneshot::channel();
            worker.send(respond).map_err(|_| index)?;
            responses.push(response);
        }
        for (index, response) in responses.into_iter().enumerate() {
            response.await.map_err(|_| index)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::time::{sleep, timeout};

    const PERIOD: Duration = Duration::from_secs(10);

    fn respond_to(mut requests: HeartbeatRequests) -> tokio::task::JoinHandle<()> {
        tokio::spawn(async move {
            while let Some(respond) = requests.recv().await {
                let _ = respond.send(());
            }
        })
    }

    /// Runs the heartbeat; returns the number of pings.
    fn count_pings(heartbeat: Heartbeat, period: Option<Duration>) -> Arc<AtomicUsize> {
        let pings = Arc::new(AtomicUsize::new(0));
        let counted = pings.clone();
        tokio::spawn(heartbeat.run(period, move || {
            counted.fetch_add(1, Ordering::SeqCst);
        }));
        pings
    }

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_is_pinged_twice_per_period_while_all_workers_respond() {
        let mut heartbeat = Heartbeat::default();
        let (_first, _second) = (respond_to(heartbeat.add_worker()), respond_to(heartbeat.add_worker()));
        let pings = count_pings(heartbeat, Some(PERIOD));
        sleep(PERIOD * 10 - PERIOD / 4).await;
        assert_eq!(pings.load(Ordering::SeqCst), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_hangs_or_has_ended_stops_the_pings() {
        for has_ended in [false, true] {
            let mut heartbeat = Heartbeat::default();
            let first = respond_to(heartbeat.add_worker());
            let mut stuck = heartbeat.add_worker();
            let pings = count_pings(heartbeat, Some(PERIOD));
            if has_ended {
                drop(stuck);
                sleep(PERIOD * 3).await;
                assert_eq!(pings.load(Ordering::SeqCst), 0);
            } else {
                // It responds once, then holds the second request without a response.
                let _ = stuck.recv().await.unwrap().send(());
                let _request = stuck.recv().await.unwrap();
                sleep(PERIOD * 3).await;
                assert_eq!(pings.load(Ordering::SeqCst), 1);
            }
            assert!(!first.is_finished() || has_ended);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_watchdog_no_worker_is_asked() {
        let mut heartbeat = Heartbeat::default();
        let mut requests = heartbeat.add_worker();
        let pings = count_pings(heartbeat, None);
        assert!(timeout(PERIOD, requests.recv()).await.is_err());
        assert_eq!(pings.load(Ordering::SeqCst), 0);
    }
}
