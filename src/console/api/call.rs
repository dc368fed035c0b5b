//! One request of an operator: who asks, for what, and what that person may do.

use crate::console::answer::{Refusal, refusal};
use crate::console::{Actor, Operators};
use crate::http::percent;
use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// One request of an operator.
#[derive(Debug)]
pub struct Call<'a> {
    /// What the API shows and changes.
    pub operators: &'a Arc<Operators>,
    /// Who asks.
    pub actor: &'a Actor,
    /// The method.
    pub method: &'a Method,
    /// The query.
    pub query: Query,
    /// The body; empty for GET.
    pub body: Bytes,
    /// Whether the body is a form of a page.
    pub is_form: bool,
    /// The number of the last event that a reader of a stream has seen.
    pub last_event_id: Option<u64>,
}

impl Call<'_> {
    /// Allows GET and HEAD.
    ///
    /// # Errors
    /// The answer to any other method.
    pub fn read(&self) -> Result<(), Refusal> {
        match *self.method {
            Method::GET | Method::HEAD => Ok(()),
            _ => Err(not_allowed("GET, HEAD")),
        }
    }

    /// Allows `method` to a person with the role `operate`, and writes the audit line of the action `action` on
    /// `target`. Call it before anything is changed.
    ///
    /// # Errors
    /// The answer to another method, and to a person without the role.
    pub fn act(&self, method: &Method, action: &str, target: &str, detail: &str) -> Result<(), Refusal> {
        self.may_operate(method)?;
        self.operators.record(self.actor, action, target, detail);
        Ok(())
    }

    /// Allows `method` to a person with the role `operate`, for what changes nothing.
    ///
    /// # Errors
    /// The answer to another method, and to a person without the role.
    pub fn may_operate(&self, method: &Method) -> Result<(), Refusal> {
        if self.method != method {
            return Err(not_allowed(if *method == Method::DELETE { "DELETE" } else { "POST" }));
        }
        if !self.actor.may_operate() {
            return Err(refusal(StatusCode::FORBIDDEN, "this needs the role `operate`"));
        }
        Ok(())
    }

    /// A text in the body, which is a document or a form.
    ///
    /// # Errors
    /// The answer to a body that has no such text.
    pub fn field(&self, name: &'static str) -> Result<String, Refusal> {
        let missing = || refusal(StatusCode::BAD_REQUEST, format!("the body has no `{name}`"));
        if self.is_form {
            let form = str::from_utf8(&self.body).map(Query::parse).unwrap_or_default();
            return form.get(name).map(str::to_owned).ok_or_else(missing);
        }
        let document: serde_json::Value = self.document()?;
        let text = document.get(name).and_then(serde_json::Value::as_str);
        text.map(str::to_owned).ok_or_else(missing)
    }

    /// The body as a document.
    ///
    /// # Errors
    /// The answer to a body that is not this document.
    pub fn document<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        serde_json::from_slice(&self.body)
            .map_err(|error| refusal(StatusCode::BAD_REQUEST, format!("the body cannot be used: {error}")))
    }
}

fn not_allowed(methods: &'static str) -> Refusal {
    Refusal {
        allow: Some(methods),
        ..refusal(StatusCode::METHOD_NOT_ALLOWED, "this path has another method")
    }
}

/// The decoded parameters of a query or a form, in their order.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `name=value` pairs. Bytes that are not UTF-8 become U+FFFD.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let decoded = |text: &str| String::from_utf8_lossy(&percent::decode_form(text.as_bytes())).into_owned();
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(name, value)| (decoded(name), decoded(value)))
                .collect(),
        )
    }

    /// A query with one parameter.
    #[must_use]
    pub fn of(name: &str, value: &str) -> Self {
        Self(vec![(name.to_owned(), value.to_owned())])
    }

    /// A query with these parameters; empty ones are left out.
    #[must_use]
    pub fn pairs(pairs: &[(&str, &str)]) -> Self {
        let pairs = pairs.iter().filter(|(_, value)| !value.is_empty());
        Self(
            pairs
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        )
    }

    /// The first value of a parameter; `None` if it is absent or empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// All parameters, for an audit line.
    #[must_use]
    pub fn text(&self) -> String {
        let pairs = self.0.iter().map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join(" ")
    }

    /// A parameter that is a number.
    ///
    /// # Errors
    /// The answer to a value that is no number.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        self.get(name)
            .map(|value| {
                value
                    .parse()
                    .map_err(|_| refusal(StatusCode::BAD_REQUEST, format!("`{name}` is not a whole number")))
            })
            .transpose()
    }
}
