//! `challenge` of a route as the file writes it: a boolean, a table, or a list of tables.

use super::value::OneOrMany;
use crate::scheme::challenge::ChallengeDescription;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor, value};
use std::fmt;

/// `challenge` of a route: whether hookgate answers the challenge of the preset, or the challenges themselves.
#[derive(Debug)]
pub(super) enum ChallengeReference {
    /// That of the preset.
    OfPreset(bool),
    /// These, unsigned.
    Described(OneOrMany<ChallengeDescription>),
}

impl<'de> Deserialize<'de> for ChallengeReference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ChallengeVisitor)
    }
}

struct ChallengeVisitor;

impl<'de> Visitor<'de> for ChallengeVisitor {
    type Value = ChallengeReference;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false, or a table such as { method = \"HEAD\" }")
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<ChallengeReference, E> {
        Ok(ChallengeReference::OfPreset(flag))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ChallengeReference, E> {
        let flag = text.parse().map_err(|_| {
            E::custom("this is not a challenge\nwrite true, false, or a table such as { method = \"HEAD\" }")
        })?;
        Ok(ChallengeReference::OfPreset(flag))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ChallengeReference, A::Error> {
        OneOrMany::deserialize(value::MapAccessDeserializer::new(map)).map(ChallengeReference::Described)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<ChallengeReference, A::Error> {
        OneOrMany::deserialize(value::SeqAccessDeserializer::new(seq)).map(ChallengeReference::Described)
    }
}
