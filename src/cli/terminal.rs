//! Output on a terminal: colours, and the removal of control characters from text of a peer.

use super::{Environment, Failure};
use std::io::{self, Write as _};

/// Adds ANSI colours to text, or leaves it unchanged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    /// Whether colours are written.
    enabled: bool,
}

impl Paint {
    /// Enables colours when the output is a terminal other than `TERM=dumb` and `NO_COLOR` is unset or empty
    /// (<https://no-color.org>).
    pub(super) fn new(is_terminal: bool, environment: &Environment) -> Self {
        let value = |name: &str| environment.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        let is_disabled = value("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = value("TERM").is_some_and(|term| term == "dumb");
        Self {
            enabled: is_terminal && !is_disabled && !is_dumb,
        }
    }

    pub(super) const fn is_enabled(self) -> bool {
        self.enabled
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    pub(super) fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub(super) fn red(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    pub(super) fn cyan(self, text: &str) -> String {
        self.wrap("36", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.enabled {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Writes a result to standard output. A closed pipe (`| head`) is not an error.
///
/// # Errors
/// Any other error of standard output.
pub(super) fn emit(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::Failed(format!("cannot write to standard output: {error}"))),
    }
}

/// Replaces control characters and bidirectional overrides in text of a peer by U+FFFD, because a terminal would act
/// upon them. Newlines and tabs stay.
pub(super) fn sanitize(text: &str) -> String {
    let safe = |c: char| match c {
        '\n' | '\t' => c,
        c if c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
        {
            '\u{fffd}'
        }
        c => c,
    };
    text.chars().map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_and_dumb_terminals_disable_colours() {
        let painted = |name: &str, value: &str| Paint::new(true, &vec![(name.into(), value.into())]).green("ok");
        assert_eq!(painted("TERM", "xterm"), "\x1b[32mok\x1b[0m");
        assert_eq!(painted("NO_COLOR", ""), "\x1b[32mok\x1b[0m");
        assert_eq!(painted("NO_COLOR", "0"), "ok");
        assert_eq!(painted("TERM", "dumb"), "ok");
        assert_eq!(Paint::new(false, &Vec::new()).red("FAIL"), "FAIL");
    }

    #[test]
    fn control_characters_and_bidirectional_overrides_are_replaced() {
        let text = sanitize("a\x1b[2J\u{9b}1m\r\u{202e}\n\tü");
        assert_eq!(text, "a\u{fffd}[2J\u{fffd}1m\u{fffd}\u{fffd}\n\tü");
    }
}
