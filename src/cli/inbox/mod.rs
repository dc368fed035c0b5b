//! `hookgate inbox`: operators see and change what is stored.
//!
//! While a process uses the inbox, the commands ask it over the socket of its API. Otherwise they open the file themselves.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`access`] | the running process, or the closed file |
//! | [`output`] | what is printed |
//! | [`selection`] | which deliveries are meant |

mod access;
mod output;
mod selection;

use super::{CommandResult, Failure, block_on};
use crate::cli::terminal::emit;
use crate::config::{Sources, inspect};
use crate::inbox::store::operations::Operation;
use access::Access;
use clap::{Args, Subcommand};
use output::{Progress, field};
use selection::SelectionArguments;
use serde_json::Value;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

/// The deliveries of one page of a list.
const PAGE: usize = 500;
/// The deliveries of one page with their contents.
const CONTENTS_PAGE: usize = 20;

#[derive(Debug, Args)]
pub(super) struct InboxArguments {
    #[command(subcommand)]
    command: InboxCommand,
}

#[derive(Debug, Subcommand)]
enum InboxCommand {
    /// List deliveries, the oldest first
    List {
        #[command(flatten)]
        selection: SelectionArguments,
        /// Print one JSON object for each delivery
        #[arg(long)]
        json: bool,
    },
    /// Show a delivery with its attempts, its history and its content
    Show {
        /// The id, as in `Hookgate-Delivery`
        #[arg(value_name = "ID")]
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Deliver again, with a fresh budget: behind what waits already
    Redeliver(ChangeArguments),
    /// Stop trying, and erase the content
    Drop(ChangeArguments),
    /// Print deliveries with their contents, one JSON object in a line
    Export {
        #[command(flatten)]
        selection: SelectionArguments,
    },
    /// Store deliveries that were exported, after the checks of a request and of the sender's signature
    Import {
        /// The file; `-` reads standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Write a copy of the store; its routes are paused
    Backup {
        /// The file, which must not exist
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Stop the delivery of a route; what comes in is stored
    Pause {
        /// The name of the route
        route: String,
    },
    /// Go on with the delivery of a route
    Resume {
        /// The name of the route
        route: String,
    },
}

#[derive(Debug, Args)]
struct ChangeArguments {
    #[command(flatten)]
    selection: SelectionArguments,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// A configuration with faults or without an inbox, arguments that select nothing, and everything that the process or the
/// file refuses.
pub(super) fn run(arguments: InboxArguments, sources: &Sources) -> CommandResult {
    let loaded = inspect(sources).map_err(|faults| Failure::Usage(faults.to_string()))?;
    let Some(settings) = loaded.config.inbox else {
        return Err(Failure::Usage(String::from(
            "the configuration has no inbox: there is no table [inbox]",
        )));
    };
    let socket = loaded.config.api.map(|api| api.socket);
    block_on(async {
        let mut access = Access::open(&settings, socket).await.map_err(Failure::Failed)?;
        perform(arguments.command, &mut access).await
    })?
}

async fn perform(command: InboxCommand, access: &mut Access) -> CommandResult {
    match command {
        InboxCommand::List { selection, json } => list(access, &selection.resolve()?, json).await,
        InboxCommand::Show { id, json } => {
            let shown = access.show(&id).await.map_err(Failure::Failed)?;
            emit(&if json {
                format!("{shown:#}\n")
            } else {
                output::shown(&shown)
            })?;
            Ok(ExitCode::SUCCESS)
        }
        InboxCommand::Redeliver(arguments) => change(access, Operation::Redeliver, arguments).await,
        InboxCommand::Drop(arguments) => change(access, Operation::Drop, arguments).await,
        InboxCommand::Export { selection } => {
            let selection = selection.resolve()?;
            let mut after = Some(0);
            while let Some(start) = after {
                let page = access.export(&selection, start, CONTENTS_PAGE).await;
                let page = page.map_err(Failure::Failed)?;
                for delivery in output::deliveries(&page) {
                    emit(&format!("{delivery}\n"))?;
                }
                after = field(&page, "next").as_i64();
            }
            Ok(ExitCode::SUCCESS)
        }
        InboxCommand::Import { file } => import(access, &file).await,
        InboxCommand::Backup { file } => {
            let file = std::path::absolute(&file).map_err(|error| Failure::Usage(error.to_string()))?;
            access.back_up(&file).await.map_err(Failure::Failed)?;
            emit(&format!("{} is written; its routes are paused\n", file.display()))?;
            Ok(ExitCode::SUCCESS)
        }
        InboxCommand::Pause { route } => pause(access, &route, true).await,
        InboxCommand::Resume { route } => pause(access, &route, false).await,
    }
}

async fn list(access: &mut Access, selection: &selection::Chosen, json: bool) -> CommandResult {
    let mut after = Some(0);
    let mut is_first = true;
    while let Some(start) = after {
        let page = access.list(selection, start, PAGE).await.map_err(Failure::Failed)?;
        for delivery in output::deliveries(&page) {
            if json {
                emit(&format!("{delivery}\n"))?;
            } else {
                if std::mem::take(&mut is_first) {
                    emit(&output::heading())?;
                }
                emit(&output::line(delivery))?;
            }
        }
        after = field(&page, "next").as_i64();
    }
    Ok(ExitCode::SUCCESS)
}

/// Counts first and asks, then changes all deliveries that are meant.
async fn change(access: &mut Access, operation: Operation, arguments: ChangeArguments) -> CommandResult {
    let selection = arguments.selection.resolve()?;
    if selection.is_everything() {
        return Err(Failure::Usage(format!(
            "say which deliveries: `hookgate inbox {} --state dead`, --route, --since, --until or --id",
            operation.label()
        )));
    }
    let matched = access.count(&selection, operation).await.map_err(Failure::Failed)?;
    if matched > 0 && !arguments.yes && !confirmed(operation, matched)? {
        return Err(Failure::Failed(String::from("nothing was changed")));
    }
    let mut progress = Progress::new(matched, !arguments.json && io::stderr().is_terminal());
    let changed = match matched {
        0 => 0,
        _ => access
            .change(operation, &selection, |changed| progress.show(changed))
            .await
            .map_err(Failure::Failed)?,
    };
    progress.end();
    emit(&if arguments.json {
        format!(
            "{}\n",
            serde_json::json!({ "action": operation.label(), "matched": matched, "changed": changed })
        )
    } else {
        format!("{}: {changed} of {matched} deliveries\n", operation.label())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Asks the person at the terminal. Without one, nothing is changed.
fn confirmed(operation: Operation, matched: i64) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage(format!(
            "this would {} {matched} deliveries; write --yes to do it",
            operation.label()
        )));
    }
    // An error is ignored: the answer decides.
    let _ = write!(io::stderr(), "{} {matched} deliveries? [y/N] ", operation.label());
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    Ok(read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes"))
}

async fn import(access: &mut Access, file: &std::path::Path) -> CommandResult {
    let unreadable = |error: io::Error| Failure::Usage(format!("{} cannot be read: {error}", file.display()));
    let input: Box<dyn io::BufRead> = if file.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(io::BufReader::new(std::fs::File::open(file).map_err(unreadable)?))
    };
    let (mut stored, mut known, mut refused) = (0, 0, 0);
    for (number, line) in (1..).zip(input.lines()) {
        let line = line.map_err(unreadable)?;
        if line.trim().is_empty() {
            continue;
        }
        match access.import(line).await {
            Ok(answer) if field(&answer, "stored") == &Value::Bool(true) => stored += 1,
            Ok(_) => known += 1,
            Err(problem) => {
                refused += 1;
                // An error is ignored: the exit code says it too.
                let _ = writeln!(io::stderr(), "line {number}: {problem}");
            }
        }
    }
    emit(&format!("{stored} stored, {known} known before, {refused} refused\n"))?;
    Ok(if refused == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn pause(access: &mut Access, route: &str, is_paused: bool) -> CommandResult {
    access.set_paused(route, is_paused).await.map_err(Failure::Failed)?;
    let state = if is_paused { "paused" } else { "resumed" };
    emit(&format!("route {route} is {state}\n"))?;
    Ok(ExitCode::SUCCESS)
}
