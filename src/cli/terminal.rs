//! What a person sees: colours where they are wanted, and nothing from a peer that could command the terminal.

use super::{Environment, Failure};
use std::io::{self, Write as _};

/// Colours, or none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    enabled: bool,
}

impl Paint {
    /// Colours when the output is a terminal that has them and `NO_COLOR` is not set (<https://no-color.org>).
    pub(super) fn new(is_terminal: bool, environment: &Environment) -> Self {
        let value = |name: &str| environment.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        let unwanted = value("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = value("TERM").is_some_and(|term| term == "dumb");
        Self {
            enabled: is_terminal && !unwanted && !dumb,
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

/// Writes a result to standard output. A reader that has seen enough (`| head`) is no failure.
pub(super) fn emit(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::Failed(format!("cannot write: {error}"))),
    }
}

/// Text of a peer, with everything that a terminal might act upon replaced; newlines and tabs stay.
pub(super) fn harmless(text: &str) -> String {
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
    fn no_color_and_dumb_terminals_are_honoured() {
        let painted = |name: &str, value: &str| Paint::new(true, &vec![(name.into(), value.into())]).green("ok");
        assert_eq!(painted("TERM", "xterm"), "\x1b[32mok\x1b[0m");
        assert_eq!(painted("NO_COLOR", ""), "\x1b[32mok\x1b[0m");
        assert_eq!(painted("NO_COLOR", "0"), "ok");
        assert_eq!(painted("TERM", "dumb"), "ok");
        assert_eq!(Paint::new(false, &Vec::new()).red("FAIL"), "FAIL");
    }

    #[test]
    fn a_peer_cannot_command_the_terminal() {
        let text = harmless("a\x1b[2J\u{9b}1m\r\u{202e}\n\tü");
        assert_eq!(text, "a\u{fffd}[2J\u{fffd}1m\u{fffd}\u{fffd}\n\tü");
    }
}
