//! The manual page `deploy/man/hookgate.1`: the options of all commands from their definitions, and sections that are written
//! by hand in `manual.roff`.

use super::Document;
use clap::{Arg, Command, CommandFactory as _};
use clap_mangen::Man;
use std::io;

/// DESCRIPTION, and from EXIT STATUS to SEE ALSO. The line [`HERE`] is between them.
const SECTIONS: &str = include_str!("manual.roff");
const HERE: &str = ".\\\" OPTIONS and COMMANDS stand here.\n";
/// When the sections that are written by hand were last changed.
const DATE: &str = "2026-11-29";
/// An argument with more values than this, such as the name of a provider, does not list them.
const LISTED_VALUES: usize = 10;

/// The page.
pub(crate) fn document() -> Document {
    let mut root = hookgate::cli::Arguments::command().subcommand_value_name("COMMAND");
    root.build();
    let (description, rest) = SECTIONS.split_once(HERE).expect("the place of the commands");
    let man = Man::new(root.clone()).date(DATE).manual("User Commands");
    let mut page = section(|out| man.render_title(out));
    page.push_str(&section(|out| man.render_name_section(out)));
    page.push_str(&section(|out| man.render_synopsis_section(out)));
    page.push_str(description);
    page.push_str(&section(|out| man.render_options_section(out)));
    page.push_str(".SH COMMANDS\n");
    for command in root.get_subcommands() {
        add(&mut page, command, "hookgate");
    }
    page.push_str(rest);
    // The library writes a line break before and after an empty line, which mandoc warns of.
    let page = page.replace("\n.br\n\n.br\n", "\n.sp\n");
    Document::whole("deploy/man/hookgate.1", page)
}

/// Appends a command and its subcommands: how it is called, what it does, and its own options.
fn add(page: &mut String, command: &Command, parent: &str) {
    let name = format!("{parent} {}", command.get_name());
    if command.is_hide_set() || command.get_name() == "help" {
        return;
    }
    let man = Man::new(command.clone().mut_args(as_listed).bin_name(name.clone()));
    page.push_str(&format!(".SS {}\n", name.replace('-', "\\-")));
    page.push_str(body(&section(|out| man.render_synopsis_section(out))));
    page.push_str(".PP\n");
    page.push_str(body(&section(|out| man.render_description_section(out))));
    let options = section(|out| man.render_options_section(out));
    if options.contains(".TP") {
        page.push_str(body(&options));
    }
    for inner in command.get_subcommands() {
        add(page, inner, &name);
    }
}

/// An argument as the section of a command shows it: without what every command has, and without very long lists.
fn as_listed(argument: Arg) -> Arg {
    let is_common = argument.is_global_set() || argument.get_id() == "help";
    let is_long = argument.get_possible_values().len() > LISTED_VALUES;
    argument.hide(is_common).hide_possible_values(is_long)
}

/// What one of the library's functions writes.
fn section(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// A section without its heading.
fn body(section: &str) -> &str {
    let heading = section.find(".SH ").unwrap_or_default();
    section[heading..].split_once('\n').map_or("", |(_, body)| body)
}
