//! TLS on the listener: protocol versions, certificates and their renewal, client certificates, ACME, files of the
//! wrong kind, the stream.

mod acme;
mod acme_redis;
mod client_auth;
mod files;
mod listener;
mod renewal;
mod stream;
mod trust;
