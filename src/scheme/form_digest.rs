//! The text of a plain digest over form values and the secret.

use super::compiled::FormDigest;
use super::description::{DigestFields, FieldOrder, SecretPosition};
use super::form::{self, FormField};
use crate::outcome::Rejection;

impl FormDigest {
    /// Appends the covered values in their order, with the secret before or after them.
    ///
    /// # Errors
    /// `SignatureMalformed` when a field has two values, or another one imitates a named field.
    pub(super) fn write(&self, form: &[FormField], secret: &[u8], out: &mut Vec<u8>) -> Result<(), Rejection> {
        form::unambiguous(form)?;
        let covered = |name: &[u8]| {
            let is = |other: &String| other.as_bytes() == name;
            !is(&self.hash_field) && !self.leave_out.iter().any(is)
        };
        let mut pairs: Vec<&FormField> = form.iter().filter(|(name, _)| covered(name)).collect();
        let mut values: Vec<&[u8]> = match &self.fields {
            DigestFields::Order(order) => {
                if *order == FieldOrder::Sorted {
                    pairs.sort();
                }
                pairs.into_iter().map(|(_, value)| value.as_slice()).collect()
            }
            DigestFields::Named(names) => {
                let value = |name: &String| {
                    let is_covered = covered(name.as_bytes());
                    let value = form::value(form, name).map(|value| value.filter(|_| is_covered));
                    value.map(Option::unwrap_or_default)
                };
                names.iter().map(value).collect::<Result<_, _>>()?
            }
        };
        match self.secret_position {
            SecretPosition::First => values.insert(0, secret),
            SecretPosition::Last => values.push(secret),
        }
        out.extend_from_slice(&values.join(self.separator.as_bytes()));
        Ok(())
    }
}
