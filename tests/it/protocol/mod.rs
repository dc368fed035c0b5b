//! HTTP between sender, hookgate and upstream: framing, header rules, bounds, slow and hostile peers.

mod aliasing;
mod answers;
mod bounds;
mod clients;
mod differential;
mod early_answers;
mod fairness;
mod framing;
mod health;
mod http2_fields;
mod http2_stalls;
mod kept_alive;
mod long_work;
mod peers;
mod platforms;
mod proxy_protocol;
mod published_addresses;
mod refusals;
mod relay;
mod servers;
mod slow;
mod smuggling;
mod targets;
mod unreadable;
