//! The ways in which libraries and providers write JSON: white space and escapes.

/// White space between tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whitespace {
    /// The text between elements.
    pub(super) comma: &'static str,
    /// The text between a key and its value.
    pub(super) colon: &'static str,
    /// What begins the line of each element, once for each level; `None` writes everything on one line.
    pub(super) indent: Option<&'static str>,
    /// The line end where `indent` is set.
    pub(super) newline: &'static str,
    /// Whether arrays stay on one line, as `[ 1, 2 ]` (Jackson).
    pub(super) inline_lists: bool,
    /// How the report says it.
    pub(super) name: &'static str,
}

const fn one_line(comma: &'static str, colon: &'static str, name: &'static str) -> Whitespace {
    Whitespace {
        comma,
        colon,
        indent: None,
        newline: "",
        inline_lists: false,
        name,
    }
}

const fn indented(indent: &'static str, newline: &'static str, name: &'static str) -> Whitespace {
    Whitespace {
        comma: ",",
        colon: ": ",
        indent: Some(indent),
        newline,
        inline_lists: false,
        name,
    }
}

/// The default of JavaScript, Go, PHP and Ruby.
pub(super) const COMPACT: Whitespace = one_line(",", ":", "compact");

/// The ways in which libraries write white space, the most common first.
pub(super) const WHITESPACES: [Whitespace; 11] = [
    COMPACT,
    one_line(", ", ": ", "with a space after each comma and colon"),
    indented("  ", "\n", "indented by two spaces"),
    indented("    ", "\n", "indented by four spaces"),
    indented("\t", "\n", "indented by tabs"),
    one_line(",", ": ", "with a space after each colon"),
    one_line(", ", ":", "with a space after each comma"),
    indented("  ", "\r\n", "indented by two spaces, with CRLF"),
    indented("    ", "\r\n", "indented by four spaces, with CRLF"),
    indented(" ", "\n", "indented by one space"),
    Whitespace {
        comma: ",",
        colon: " : ",
        indent: Some("  "),
        newline: "\n",
        inline_lists: true,
        name: "indented as Jackson does",
    },
];

/// Which characters beyond ASCII are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NonAscii {
    /// None.
    Kept,
    /// All, with lower-case digits.
    Lower,
    /// All, with upper-case digits.
    Upper,
    /// Those that need two UTF-16 units, with these digits.
    AstralLower,
    AstralUpper,
}

/// How characters in strings are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Escapes {
    pub(super) non_ascii: NonAscii,
    /// Whether `/` is written as `\/`.
    pub(super) slash: bool,
    /// ASCII characters that are written as `\u00XX`.
    pub(super) ascii: &'static str,
    /// Whether the digits of `ascii` are in upper case.
    pub(super) upper: bool,
    /// How the report says it.
    pub(super) name: &'static str,
}

const fn escapes(non_ascii: NonAscii, slash: bool, ascii: &'static str, upper: bool, name: &'static str) -> Escapes {
    Escapes {
        non_ascii,
        slash,
        ascii,
        upper,
        name,
    }
}

/// The ways in which libraries and providers escape.
pub(super) const ESCAPES: [Escapes; 19] = [
    escapes(
        NonAscii::Lower,
        false,
        "",
        false,
        "non-ASCII characters escaped as \\uXXXX",
    ),
    escapes(
        NonAscii::Lower,
        true,
        "",
        false,
        "non-ASCII characters and slashes escaped",
    ),
    escapes(
        NonAscii::Kept,
        false,
        "",
        false,
        "non-ASCII characters and slashes not escaped",
    ),
    escapes(NonAscii::Kept, true, "", false, "slashes escaped"),
    escapes(NonAscii::Kept, false, "<>&", false, "<, > and & escaped"),
    escapes(
        NonAscii::Lower,
        false,
        "<>&",
        false,
        "<, > and & and non-ASCII characters escaped",
    ),
    escapes(NonAscii::Kept, true, "<>&", false, "<, >, & and slashes escaped"),
    escapes(NonAscii::Lower, true, "<@%", true, "/, <, @ and % escaped as Meta does"),
    escapes(
        NonAscii::Upper,
        false,
        "\"<>&'+`\u{7f}",
        true,
        "escaped as .NET does by default",
    ),
    escapes(
        NonAscii::Lower,
        true,
        "\"<>&'",
        true,
        "escaped as PHP does with its HEX options (Laravel, Symfony)",
    ),
    escapes(
        NonAscii::Kept,
        false,
        "<>&='",
        false,
        "<, >, &, = and ' escaped as Gson does",
    ),
    escapes(NonAscii::Lower, false, "<>&'", false, "<, >, & and ' escaped"),
    escapes(
        NonAscii::Upper,
        false,
        "",
        false,
        "non-ASCII characters escaped with upper-case digits",
    ),
    escapes(
        NonAscii::Upper,
        true,
        "",
        false,
        "non-ASCII characters (upper-case digits) and slashes escaped",
    ),
    escapes(
        NonAscii::AstralUpper,
        false,
        "",
        false,
        "emoji escaped with upper-case digits",
    ),
    escapes(NonAscii::AstralLower, false, "", false, "emoji escaped"),
    escapes(NonAscii::Lower, true, "<>&@%'", true, "/, <, >, &, @, % and ' escaped"),
    escapes(NonAscii::Kept, false, "<>", false, "< and > escaped"),
    escapes(
        NonAscii::Lower,
        false,
        "<>",
        true,
        "< and > (upper-case digits) and non-ASCII characters escaped",
    ),
];
