//! `hookgate providers`: lists the presets with what must be known about each.

use super::terminal::{self, Paint};
use super::{CommandResult, Environment};
use crate::gateway::diagnosis::secret_place;
use crate::scheme::{Algorithm, LocationDescription, SchemeDescription, facts, presets};
use serde_json::json;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

/// Arguments of `providers`.
#[derive(Debug, clap::Args)]
pub(super) struct ProvidersArguments {
    /// Show only this provider
    #[arg(value_name = "NAME", value_parser = super::inputs::provider_names())]
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the presets.
pub(super) fn run(arguments: &ProvidersArguments, environment: &Environment) -> CommandResult {
    if let Some(name) = &arguments.name
        && presets::description(name).is_none()
    {
        return Err(super::Failure::Usage(format!(
            "there is no preset `{name}`; `hookgate providers` lists all of them"
        )));
    }
    let rows: Vec<Facts> = presets::names()
        .filter(|name| arguments.name.as_deref().is_none_or(|wanted| wanted == *name))
        .filter_map(|name| Some(Facts::new(name, presets::description(name)?)))
        .collect();
    let text = if arguments.json {
        let rows: Vec<_> = rows.iter().map(Facts::json).collect();
        format!("{:#}\n", serde_json::Value::from(rows))
    } else {
        let paint = Paint::new(io::stdout().is_terminal(), environment);
        rows.iter().map(|facts| facts.human(paint)).collect()
    };
    terminal::emit(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// What is shown of a preset.
struct Facts {
    name: &'static str,
    /// Where the signature is: `header X-Signature`.
    signature: String,
    /// What is signed.
    payload: String,
    tolerance: Option<String>,
    /// Where the id of a delivery is.
    delivery_id: Option<String>,
    needs_url: bool,
    /// Where the provider's dashboard shows the secret.
    secret: Option<&'static str>,
    /// What the preset was proven against.
    judges: &'static [String],
}

impl Facts {
    fn new(name: &'static str, description: &SchemeDescription) -> Self {
        let signature = description.signature.clone().unwrap_or_default();
        let each = signature.each.as_ref().map(|array| format!("{array}/*"));
        let payload = match (description.signature_token(), &description.message) {
            (None, None) => description.payload.clone().unwrap_or_else(|| "{body}".to_owned()),
            (None, Some(message)) => {
                format!("at least {}", message.required.as_deref().unwrap_or_default().join(" "))
            }
            (Some(jwt), _) => match (&jwt.body_claim, &jwt.request_claim) {
                (Some(claim), _) => format!("a token; its claim {claim} is a hash of the body"),
                (None, Some(claim)) => format!("a token; its claim {claim} is a hash of method, path and query"),
                (None, None) => "a token, and nothing of the request".to_owned(),
            },
        };
        Self {
            name,
            signature: match (presets::signature_header(name), signature.pointer, signature.form) {
                (Some(header), ..) => format!("header {header}"),
                (None, Some(pointer), _) => format!("JSON {}{pointer}", each.unwrap_or_default()),
                (None, None, Some(field)) => format!("form field {field}"),
                (None, None, None) if description.algorithm == Some(Algorithm::Basic) => {
                    "header Authorization".to_owned()
                }
                (None, None, None) => "a form field".to_owned(),
            },
            needs_url: presets::signs_url(name),
            // A long payload is shown by its beginning.
            payload: if payload.len() > 60 {
                format!("{}…", payload.chars().take(57).collect::<String>())
            } else {
                payload
            },
            tolerance: description.tolerance.clone(),
            delivery_id: description.delivery_id.clone().and_then(location),
            secret: secret_place(name),
            judges: facts::find(name).map_or(&[], |facts| &facts.judges),
        }
    }

    fn human(&self, paint: Paint) -> String {
        let mut text = format!("{}\n", paint.bold(self.name));
        let mut row = |name: &str, value: &str| {
            let _ = writeln!(text, "  {name:<12} {value}");
        };
        row("signature", &self.signature);
        row("signs", &self.payload);
        row(
            "tolerance",
            self.tolerance.as_deref().unwrap_or("none: no time is signed"),
        );
        row("delivery id", self.delivery_id.as_deref().unwrap_or("none"));
        if self.needs_url {
            row("needs", "public_url, because the URL is signed");
        }
        if let Some(secret) = self.secret {
            row("secret", secret);
        }
        let judges = self
            .judges
            .join(", ")
            .replace("node:crypto", "the provider's documents only");
        row("proven by", &judges);
        text
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "name": self.name,
            "signature": self.signature,
            "payload": self.payload,
            "tolerance": self.tolerance,
            "delivery_id": self.delivery_id,
            "needs_public_url": self.needs_url,
            "secret": self.secret,
            "judges": self.judges,
        })
    }
}

fn location(location: LocationDescription) -> Option<String> {
    let header = location.header.map(|name| format!("header {name}"));
    let pointer = location.pointer.map(|pointer| format!("JSON {pointer}"));
    let form = location.form.map(|field| format!("form field {field}"));
    header.or(pointer).or(form)
}
