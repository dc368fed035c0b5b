//! The budget: who gives way, and when memory is free.

#![allow(clippy::unwrap_used)]

use super::reservation::ROOM_TIMEOUT;
use super::*;
use crate::outcome::Rejection;
use std::future::poll_fn;
use std::task::Context;
use std::time::Duration;
use tokio::time::advance;

const KIB: usize = 1024;

fn source(last: u8) -> Option<Source> {
    Some(Source::of([192, 0, 2, last].into()))
}

/// An unfinished body that holds `bytes`, and that leaves its memory when it has to.
struct Unfinished(Option<Reservation>);

impl Unfinished {
    fn poll(&mut self, cx: &mut Context<'_>) {
        let waited = self.0.as_mut().map(|reservation| reservation.wait(Instant::now(), cx));
        if matches!(waited, Some(Err(_))) {
            self.0 = None;
        }
    }

    fn is_kept(&mut self) -> bool {
        self.poll(&mut Context::from_waker(Waker::noop()));
        self.0
            .take()
            .is_some_and(|mut reservation| reservation.complete().is_ok())
    }
}

/// A newcomer of this source. While it waits, those that have to give way do.
async fn newcomer(
    budget: &Arc<Budget>,
    from: u8,
    bytes: usize,
    others: &mut [&mut Vec<Unfinished>],
) -> Result<Reservation, Rejection> {
    let mut reservation = Reservation::new(budget.clone(), source(from), 0);
    poll_fn(|cx| {
        let grown = reservation.poll_grow(cx, bytes);
        if grown.is_pending() {
            others
                .iter_mut()
                .flat_map(|list| list.iter_mut())
                .for_each(|other| other.poll(cx));
        }
        grown
    })
    .await
    .map(|()| reservation)
}

async fn unfinished(budget: &Arc<Budget>, from: u8, bytes: usize, others: &mut [&mut Vec<Unfinished>]) -> Unfinished {
    let mut unfinished = Unfinished(newcomer(budget, from, bytes, others).await.ok());
    unfinished.poll(&mut Context::from_waker(Waker::noop()));
    unfinished
}

#[tokio::test(start_paused = true)]
async fn the_slowest_body_of_the_source_that_holds_most_gives_way() {
    let budget = Budget::new(1024 * KIB);
    let mut bodies = vec![unfinished(&budget, 1, 100 * KIB, &mut []).await];
    advance(Duration::from_secs(1)).await;
    for _ in 0..7 {
        bodies.push(unfinished(&budget, 1, 100 * KIB, &mut []).await);
    }
    let mut other = vec![unfinished(&budget, 2, 50 * KIB, &mut []).await];
    advance(Duration::from_millis(10)).await;
    let held = newcomer(&budget, 2, 100 * KIB, &mut [&mut bodies, &mut other])
        .await
        .unwrap();
    let kept: Vec<bool> = bodies.iter_mut().map(Unfinished::is_kept).collect();
    assert_eq!(kept, [false, true, true, true, true, true, true, true]);
    assert!(other.iter_mut().all(Unfinished::is_kept));
    drop(held);
    assert_eq!(budget.used(), 0);
    assert_eq!(budget.leaving_bytes.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_holds_most_cannot_push_out_another_one() {
    let budget = Budget::new(1024 * KIB);
    let mut small = vec![unfinished(&budget, 2, 100 * KIB, &mut []).await];
    advance(Duration::from_secs(1)).await;
    let mut large = Vec::new();
    for _ in 0..40 {
        let next = unfinished(&budget, 1, 100 * KIB, &mut [&mut large, &mut small]).await;
        large.push(next);
        advance(Duration::from_millis(1)).await;
        assert!(budget.used() <= budget.limit() * 9 / 8);
    }
    assert!(small.iter_mut().all(Unfinished::is_kept));
    let kept = large.iter_mut().filter_map(|body| body.is_kept().then_some(())).count();
    assert_eq!(kept, 7, "the newest seven fit beside the reserve and the other source");
}

#[tokio::test(start_paused = true)]
async fn complete_requests_keep_their_bytes_and_small_ones_have_a_reserve() {
    let budget = Budget::new(1024 * KIB);
    let mut complete = Vec::new();
    for _ in 0..8 {
        complete.push(newcomer(&budget, 1, 112 * KIB, &mut []).await.unwrap());
    }
    let large = newcomer(&budget, 2, 100 * KIB, &mut []).await;
    assert_eq!(large.unwrap_err(), Rejection::Overloaded);
    let mut small = Vec::new();
    for _ in 0..8 {
        small.push(newcomer(&budget, 2, 16 * KIB, &mut []).await.unwrap());
    }
    let one_more = newcomer(&budget, 2, 16 * KIB, &mut []).await;
    assert_eq!(one_more.unwrap_err(), Rejection::Overloaded);
    drop(small);
    assert_eq!(budget.used(), 8 * 112 * KIB);
}

/// A body that had to be waited for, and is complete now, is not chosen any more.
#[tokio::test(start_paused = true)]
async fn a_body_that_was_waited_for_and_is_complete_keeps_its_bytes() {
    let budget = Budget::new(1024 * KIB);
    let mut complete = Vec::new();
    for _ in 0..8 {
        let mut body = unfinished(&budget, 1, 112 * KIB, &mut []).await.0.unwrap();
        body.complete().unwrap();
        complete.push(body);
    }
    let start = Instant::now();
    let newcomer = newcomer(&budget, 2, 100 * KIB, &mut []).await;
    assert_eq!(newcomer.unwrap_err(), Rejection::Overloaded);
    assert_eq!(start.elapsed(), Duration::ZERO, "somebody was told to give way");
    assert!(complete.iter_mut().all(|body| body.complete().is_ok()));
    assert_eq!(budget.used(), 8 * 112 * KIB);
}

#[tokio::test(start_paused = true)]
async fn the_budget_is_exceeded_by_one_eighth_at_most_while_others_give_way() {
    let budget = Budget::new(1024 * KIB);
    let mut bodies = Vec::new();
    for _ in 0..8 {
        bodies.push(unfinished(&budget, 1, 100 * KIB, &mut []).await);
    }
    let start = Instant::now();
    // Those that have to give way do nothing here, as a worker that is busy.
    let refused = newcomer(&budget, 2, 400 * KIB, &mut []).await;
    assert_eq!(refused.unwrap_err(), Rejection::Overloaded);
    assert_eq!(start.elapsed(), ROOM_TIMEOUT);
    assert_eq!(budget.used(), 800 * KIB);
}

#[tokio::test]
async fn the_head_is_reserved_with_the_first_bytes_of_the_body() {
    let budget = Budget::new(1024 * KIB);
    let mut reservation = Reservation::new(budget.clone(), None, 1000);
    poll_fn(|cx| reservation.poll_grow(cx, 24)).await.unwrap();
    assert_eq!(budget.used(), 1024);
    let mut without_body = Reservation::new(budget.clone(), None, 1000);
    poll_fn(|cx| without_body.poll_grow(cx, 0)).await.unwrap();
    assert_eq!(budget.used(), 2024);
    drop((reservation, without_body));
    assert_eq!(budget.used(), 0);
}

/// Blocks are used again by other bodies, and no more of them are kept than the budget allows.
#[test]
fn freed_blocks_are_used_again_within_the_budget() {
    let budget = Budget::new(3 * BLOCK_BYTES);
    let content = vec![7; BLOCK_BYTES + 5];
    let mut first = budget.take_block();
    let rest = first.fill(&content);
    assert_eq!((rest.len(), first.is_full()), (5, true));
    let mut second = budget.take_block();
    assert_eq!(second.fill(rest).len(), 0);
    assert!(!second.is_full());
    let (first, second) = (first.freeze(), second.freeze());
    assert_eq!([&first[..], &second[..]].concat(), content);
    let part = first.slice(10..20);
    drop((first, second));
    assert_eq!(lock(&budget.free_blocks).len(), 1, "a part of the first one is held");
    drop(part);
    assert_eq!(lock(&budget.free_blocks).len(), 2);
    let blocks: Vec<Block> = (0..5).map(|_| budget.take_block()).collect();
    assert_eq!(lock(&budget.free_blocks).len(), 0, "freed blocks were not used");
    assert!(
        blocks.iter().all(|block| block.as_ref().is_empty()),
        "bytes of another body"
    );
    drop(blocks);
    assert_eq!(lock(&budget.free_blocks).len(), 3);
}

/// Blocks that nobody needed for a while go back to the system, and those that are used each time stay.
#[test]
fn blocks_that_nobody_needs_are_given_back() {
    let budget = Budget::new(100 * BLOCK_BYTES);
    let burst: Vec<Block> = (0..64).map(|_| budget.take_block()).collect();
    drop(burst);
    budget.give_back();
    assert_eq!(
        lock(&budget.free_blocks).len(),
        64,
        "they were needed since the last call"
    );
    for expected in [36, 22, 15, 11, 9] {
        let used: Vec<Block> = (0..8).map(|_| budget.take_block()).collect();
        drop(used);
        budget.give_back();
        assert_eq!(lock(&budget.free_blocks).len(), expected);
    }
    (0..8).for_each(|_| budget.give_back());
    assert_eq!(lock(&budget.free_blocks).len(), 0);
}
