//! Numbers as plain decimal digits, for message heads and the Redis protocol.

/// Writes the decimal digits of `number` to the end of `digits` and returns them.
///
/// The formatting of the standard library takes longer than writing all the rest of a message's head.
#[must_use]
pub(crate) fn write(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut first = digits.len();
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        first = at;
        if number == 0 {
            break;
        }
    }
    digits.get(first..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_like_to_string() {
        for number in [0, 9, 10, 99, 100, 305, u64::MAX] {
            assert_eq!(write(number, &mut [0; 20]), number.to_string().as_bytes());
        }
    }
}
