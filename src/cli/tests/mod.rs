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
fn a_command_is_required_and_configuration_options_are_global() {
    assert!(Arguments::try_parse_from(["hookgate"]).is_err());
    let arguments = Arguments::parse_from(["hookgate", "-c", "a.toml", "--set", "log.filter=a=b,c", "serve"]);
    assert_eq!(arguments.overrides, [("log.filter".to_owned(), "a=b,c".to_owned())]);
    let arguments = Arguments::parse_from(["hookgate", "serve", "--config", "a.toml"]);
    assert_eq!(arguments.config, Some(PathBuf::from("a.toml")));
    assert!(Arguments::try_parse_from(["hookgate", "--set", "limits", "serve"]).is_err());
    assert!(Arguments::try_parse_from(["hookgate", "--set", "=1", "serve"]).is_err());
}

#[test]
fn help_documents_the_exit_codes() {
    let help = Arguments::command().render_long_help().to_string();
    for line in ["  0  ", "  1  ", "  2  ", "NO_COLOR"] {
        assert!(help.contains(line), "{help}");
    }
}

/// Without a file, everything can come from variables; with a file at a usual place, that file is used.
#[test]
fn the_configuration_file_is_searched() {
    let key = |name: &str| vec![(name.into(), "1".into())];
    let missing = Some(PathBuf::from("gateway.toml"));
    // The tests run in the root of the project, which has a gateway.toml.
    assert_eq!(super::configuration_file(None, &Vec::new(), &[]), missing);
    let named = Some(PathBuf::from("a.toml"));
    assert_eq!(
        super::configuration_file(named.clone(), &key("HOOKGATE_WORKERS"), &[]),
        named
    );
    assert!(crate::config::is_key_variable("HOOKGATE_LIMITS__CONNECTIONS".as_ref()));
    for other in ["HOOKGATE_CONFIG", "PATH", "HOOKGATE_SERVICE_HOST"] {
        assert!(!crate::config::is_key_variable(other.as_ref()), "{other}");
    }
}
