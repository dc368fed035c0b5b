//! TLS on the listener: protocol versions, certificates and their renewal, client certificates, the stream.

mod client_auth;
mod listener;
mod renewal;
mod stream;
