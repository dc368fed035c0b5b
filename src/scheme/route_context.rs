//! What a route says about its scheme besides the keys.

use super::types::{Expected, KeySettings};
use super::url::UrlOfRoute;

/// What a route says about its scheme besides the keys.
#[derive(Clone, Copy, Debug)]
pub struct RouteContext<'r> {
    /// The URL that the provider calls.
    pub url: UrlOfRoute<'r>,
    /// Values that signed requests must carry.
    pub expect: &'r Expected,
    /// Where keys are fetched.
    pub keys: &'r KeySettings,
}
