//! Tests of the command line as a whole: its arguments, the manual page, and what `check` prints.

mod check;
mod manual;
mod no_secret_in_output;

use super::Arguments;
use clap::{CommandFactory as _, Parser as _};
use std::path::PathBuf;

#[test]
fn the_definitions_of_all_arguments_are_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn no_option_takes_a_secret_as_its_value() {
    for command in Arguments::command().get_subcommands() {
        for argument in command.get_arguments() {
            let name = argument.get_id().as_str();
            assert!(!matches!(name, "secret" | "key" | "password" | "token"), "{name}");
        }
    }
}

#[test]
fn serve_is_the_default_command_and_configuration_options_are_global() {
    let arguments = Arguments::parse_from(["hookgate", "-c", "a.toml", "--set", "log.filter=a=b,c"]);
    assert!(arguments.command.is_none());
    assert_eq!(arguments.overrides, [("log.filter".to_owned(), "a=b,c".to_owned())]);
    let arguments = Arguments::parse_from(["hookgate", "serve", "--config", "a.toml"]);
    assert_eq!(arguments.config, PathBuf::from("a.toml"));
    assert!(Arguments::try_parse_from(["hookgate", "--set", "limits"]).is_err());
    assert!(Arguments::try_parse_from(["hookgate", "--set", "=1"]).is_err());
}

#[test]
fn help_documents_the_exit_codes() {
    let help = Arguments::command().render_long_help().to_string();
    for line in ["  0  ", "  1  ", "  2  ", "NO_COLOR"] {
        assert!(help.contains(line), "{help}");
    }
}
