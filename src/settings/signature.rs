//! The signature that the application gets.

use super::secret_info::SecretInfo;
use crate::scheme::{SignRequest, Verifier};
use bytes::Bytes;
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use std::borrow::Cow;
use std::sync::Arc;

/// The signature that the application gets.
#[derive(Clone, Debug)]
pub enum ApplicationSignature {
    /// That of the sender, unchanged.
    Original,
    /// Stored attempts are signed again in the provider's scheme, with the present time.
    Fresh,
    /// Every attempt is signed by Standard Webhooks with keys of hookgate.
    Gateway(Arc<GatewayKeys>),
}

/// The keys with which hookgate signs every attempt of a route.
#[derive(Debug)]
pub struct GatewayKeys {
    /// Standard Webhooks with these keys.
    pub verifier: Verifier,
    /// Names and sources of the keys, in the same order.
    pub infos: Vec<SecretInfo>,
}

impl ApplicationSignature {
    /// The word in the file.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Original => "original",
            Self::Fresh => "fresh",
            Self::Gateway(_) => "gateway",
        }
    }
}

impl GatewayKeys {
    /// The headers with a signature of every key, so that the application may know the old one or the new one of a
    /// rotation. `id` is the delivery's id.
    #[must_use]
    pub fn sign(&self, id: &str, body: &[Bytes], now_unix: u64) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let body: Cow<'_, [u8]> = match body {
            [one] => Cow::Borrowed(one),
            pieces => Cow::Owned(pieces.concat()),
        };
        let request = SignRequest {
            method: &Method::POST,
            target: "/",
            delivery_id: Some(id),
            body: &body,
        };
        let keys: Vec<usize> = (0..self.infos.len()).collect();
        self.verifier.sign_with(&keys, &request, now_unix)
    }
}
