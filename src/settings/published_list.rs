//! A list of source addresses that a provider publishes.

use crate::scheme::address_list::AddressList;

/// A list of source addresses that a provider publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedList {
    /// The list.
    pub list: &'static AddressList,
    /// Where it is fetched: that of the provider, or a mirror.
    pub url: String,
}
