//! Which deliveries are meant: `--route`, `--state`, `--since`, `--until`, `--id`.

use crate::cli::Failure;
use crate::gateway::diagnosis::parse_time;
use crate::http::percent;
use crate::inbox::model::delivery::State;
use crate::inbox::store::operations::Selection;
use crate::time::clock;
use clap::Args;

#[derive(Debug, Args)]
pub(super) struct SelectionArguments {
    /// Deliveries of this route
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// waiting, in_flight, behind, blocked, delivered, dead or dropped
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// Those that arrived then or later: a duration ago (2h) or a time (2026-01-31T12:00:00Z)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Those that arrived before: a duration ago or a time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The delivery with this id, as in `Hookgate-Delivery`
    #[arg(long, value_name = "ID")]
    id: Option<String>,
}

/// The deliveries that are meant, for the file and for the API.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) selection: Selection,
}

impl SelectionArguments {
    /// Reads the arguments.
    ///
    /// # Errors
    /// A state, a time or an id that is none.
    pub(super) fn resolve(self) -> Result<Chosen, Failure> {
        let state = self.state.as_deref().map(|word| {
            let state = State::ALL.into_iter().find(|state| state.label() == word);
            state.ok_or_else(|| {
                let words: Vec<_> = State::ALL.iter().map(|state| state.label()).collect();
                Failure::Usage(format!(
                    "--state: `{word}` is not a state; write one of {}",
                    words.join(", ")
                ))
            })
        });
        Ok(Chosen {
            selection: Selection {
                route: self.route,
                state: state.transpose()?,
                since: self.since.as_deref().map(|text| time("--since", text)).transpose()?,
                until: self.until.as_deref().map(|text| time("--until", text)).transpose()?,
                id: self.id.as_deref().map(id).transpose()?,
            },
        })
    }
}

/// An id from its 32 digits.
///
/// # Errors
/// Any other text.
pub(super) fn id(text: &str) -> Result<[u8; 16], Failure> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| {
        Failure::Usage(format!(
            "`{text}` is not an id: 32 hex digits, as in `Hookgate-Delivery`"
        ))
    })
}

/// A point in time, in Unix milliseconds.
fn time(option: &str, text: &str) -> Result<i64, Failure> {
    let ago = humantime::parse_duration(text).ok();
    let ago = ago.map(|ago| u128::from(clock::unix_now_ms()).saturating_sub(ago.as_millis()));
    let milliseconds = ago
        .or_else(|| parse_time(text).map(|seconds| u128::from(seconds) * 1000))
        .ok_or_else(|| {
            Failure::Usage(format!(
                "{option}: `{text}` is not a time; write a duration ago (2h) or 2026-01-31T12:00:00Z"
            ))
        })?;
    Ok(i64::try_from(milliseconds).unwrap_or(i64::MAX))
}

impl Chosen {
    /// Whether no condition is set.
    pub(super) fn is_everything(&self) -> bool {
        self.selection == Selection::default()
    }

    /// The conditions as a query of the API.
    pub(super) fn query(&self) -> String {
        let Selection {
            route,
            state,
            since,
            until,
            id,
        } = &self.selection;
        let parts = [
            route
                .as_deref()
                .map(|route| format!("route={}", percent::encode(route))),
            state.map(|state| format!("state={}", state.label())),
            since.map(|since| format!("since={since}")),
            until.map(|until| format!("until={until}")),
            id.map(|id| format!("id={}", hex::encode(id))),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join("&")
    }
}
