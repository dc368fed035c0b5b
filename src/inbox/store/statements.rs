//! The statements that find deliveries among many. Each names its index; see [`super::schema`].

/// Whether an open delivery of an order key came in before a position.
pub(super) const BEHIND: &str = "SELECT 1 FROM delivery INDEXED BY delivery_order
    WHERE route = ?1 AND order_key = ?2 AND state < 4 AND position < ?3";
/// Whether an order key has open deliveries.
pub(super) const KEY_BUSY: &str = "SELECT 1 FROM delivery INDEXED BY delivery_order
    WHERE route = ?1 AND order_key = ?2 AND state < 4";
/// The first open delivery of an order key.
pub(super) const FIRST_OF_KEY: &str = "SELECT seq, state FROM delivery INDEXED BY delivery_order
    WHERE route = ?1 AND order_key = ?2 AND state < 4 ORDER BY position LIMIT 1";
/// Deliveries that are due.
pub(super) const DUE: &str = "SELECT seq FROM delivery INDEXED BY delivery_due
    WHERE route = ?1 AND state = 0 AND next_at >= ?2 AND next_at <= ?3 ORDER BY next_at, seq LIMIT ?4";
/// The same without those that an operator wants to be delivered again.
pub(super) const DUE_BY_ITSELF: &str = "SELECT seq FROM delivery INDEXED BY delivery_due
    WHERE route = ?1 AND state = 0 AND next_at >= ?2 AND next_at <= ?3 AND is_manual = 0 ORDER BY next_at, seq LIMIT ?4";
/// When the next delivery is due.
pub(super) const NEXT_DUE: &str =
    "SELECT min(next_at) FROM delivery INDEXED BY delivery_due WHERE route = ?1 AND state = 0";
/// When the oldest open delivery came in.
pub(super) const OLDEST: &str =
    "SELECT received_at FROM delivery INDEXED BY delivery_open WHERE route = ?1 AND state < 4 ORDER BY seq LIMIT 1";
