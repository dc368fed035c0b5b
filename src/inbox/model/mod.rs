//! The model of stored deliveries: pure code that decides what each event does. It does no I/O and reads no clock; `now`
//! is an argument, in milliseconds on the inbox's clock.
//!
//! ```text
//!              stored                       2xx
//!   (sender) ─────────► waiting ◄───────► in flight ──────► delivered
//!              │           ▲    attempt       │
//!              │ its key   │ the key          │ too old, or a status of `give_up_on`
//!              ▼ is busy   │ is free          ▼
//!            behind ───────┘                 dead ──redeliver──► waiting
//! ```
//!
//! A delivery for which the configuration has no key or secret is `blocked` until a start or a reload.
//!
//! An operator can drop a delivery that is not in flight. A sender's repetition revives a dead or dropped delivery and
//! changes nothing about another one.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`outage`] | whether an upstream is asked, and by how many attempts at once |
//! | [`delivery`] | the state of one delivery, and what each event makes of it |

pub mod delivery;
pub mod outage;

#[cfg(test)]
mod tests;
