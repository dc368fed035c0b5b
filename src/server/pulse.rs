//! Whether every worker still turns: each is asked in its own runtime, and the watchdog hears of it only when all have
//! answered. A worker that hangs in one task, or is gone, is thus an outage that the service manager ends.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

/// Where a worker hears that it is asked; it answers from its serving loop.
pub(super) type Asked = mpsc::UnboundedReceiver<oneshot::Sender<()>>;

/// All workers, for asking.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    workers: Vec<mpsc::UnboundedSender<oneshot::Sender<()>>>,
}

impl Pulse {
    /// One more worker.
    pub(super) fn join(&mut self) -> Asked {
        let (ask, asked) = mpsc::unbounded_channel();
        self.workers.push(ask);
        asked
    }

    /// Calls `alive` as soon as all workers have answered, at half the watchdog's `period` (`sd_watchdog_enabled(3)`); never
    /// without one.
    pub(super) async fn keep(self, period: Option<Duration>, alive: impl Fn()) -> Infallible {
        let Some(period) = period else {
            return pending().await;
        };
        let mut ticks = interval(period / 2);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(worker) = self.beat().await {
                tracing::error!(worker, "a worker has ended: the watchdog is told no more");
                return pending().await;
            }
            alive();
        }
    }

    /// Ready when all have answered; with the index of one that is gone.
    async fn beat(&self) -> Result<(), usize> {
        let mut answers = Vec::with_capacity(self.workers.len());
        for (index, worker) in self.workers.iter().enumerate() {
            let (answer, answered) = oneshot::channel();
            worker.send(answer).map_err(|_| index)?;
            answers.push(answered);
        }
        for (index, answered) in answers.into_iter().enumerate() {
            answered.await.map_err(|_| index)?;
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

    fn turns(mut asked: Asked) -> tokio::task::JoinHandle<()> {
        tokio::spawn(async move {
            while let Some(answer) = asked.recv().await {
                let _ = answer.send(());
            }
        })
    }

    fn keep(pulse: Pulse, period: Option<Duration>) -> Arc<AtomicUsize> {
        let heard = Arc::new(AtomicUsize::new(0));
        let counted = heard.clone();
        tokio::spawn(pulse.keep(period, move || {
            counted.fetch_add(1, Ordering::SeqCst);
        }));
        heard
    }

    #[tokio::test(start_paused = true)]
    async fn all_turn_and_the_watchdog_hears_it_twice_a_period() {
        let mut pulse = Pulse::default();
        let (_first, _second) = (turns(pulse.join()), turns(pulse.join()));
        let heard = keep(pulse, Some(PERIOD));
        sleep(PERIOD * 10 - PERIOD / 4).await;
        assert_eq!(heard.load(Ordering::SeqCst), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_hangs_or_is_gone_is_silence() {
        for is_gone in [false, true] {
            let mut pulse = Pulse::default();
            let first = turns(pulse.join());
            let mut stuck = pulse.join();
            let heard = keep(pulse, Some(PERIOD));
            if is_gone {
                drop(stuck);
                sleep(PERIOD * 3).await;
                assert_eq!(heard.load(Ordering::SeqCst), 0);
            } else {
                // It answers once, then hangs with the question in its hands.
                let _ = stuck.recv().await.unwrap().send(());
                let _question = stuck.recv().await.unwrap();
                sleep(PERIOD * 3).await;
                assert_eq!(heard.load(Ordering::SeqCst), 1);
            }
            assert!(!first.is_finished() || is_gone);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_watchdog_nobody_is_asked() {
        let mut pulse = Pulse::default();
        let mut asked = pulse.join();
        let heard = keep(pulse, None);
        assert!(timeout(PERIOD, asked.recv()).await.is_err());
        assert_eq!(heard.load(Ordering::SeqCst), 0);
    }
}
