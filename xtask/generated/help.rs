//! The help page of the console: the tables of reasons and causes from the documents, as data for a page that works without
//! a network.

use super::{Document, repository};
use serde_json::{Value, json};

/// The data of the page.
pub(crate) fn document() -> Document {
    let data = json!({
        "reasons": rows("docs/operating.md", "## Reading a refusal"),
        "causes": rows("docs/verify.md", "## Causes"),
    });
    Document::whole("src/console/web/help.json", format!("{data:#}\n"))
}

/// The rows of the first table below a heading: the names of the first cell, and the text of the others.
fn rows(path: &str, heading: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(repository(path)).unwrap();
    let (_, below) = text.split_once(&format!("\n{heading}\n")).unwrap();
    let lines = below.lines().skip_while(|line| !line.starts_with('|'));
    let lines = lines.take_while(|line| line.starts_with('|'));
    let row = |line: &str| {
        let mut cells = line.trim_matches('|').split(" | ").map(str::trim);
        let names = cells.next().unwrap().split(", ").map(|name| name.trim_matches('`'));
        let names: Vec<_> = names.collect();
        let cells: Vec<_> = cells.map(without_links).collect();
        json!({ "names": names, "cells": cells })
    };
    // The first two lines are the names of the columns.
    lines.skip(2).map(row).collect()
}

/// The text with the words of each link in place of the link.
fn without_links(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        out += before;
        rest = match after
            .split_once("](")
            .and_then(|(words, link)| Some((words, link.split_once(')')?.1)))
        {
            Some((words, after)) => {
                out += words;
                after
            }
            None => {
                out.push('[');
                after
            }
        };
    }
    out + rest
}
