//! The table of deliveries in `docs/schemes.md` shows the rows of `src/scheme/facts.toml`. With `UPDATE_LISTS=1` the test
//! writes the table instead of comparing it.

use crate::support::tools::repository;
use std::fmt::Write as _;

const BEGIN: &str = "<!-- deliveries: made by tests/it/schemes/facts.rs, do not edit -->\n";
const END: &str = "<!-- end of deliveries -->";

fn table(path: &str) -> toml::Table {
    std::fs::read_to_string(repository(path)).unwrap().parse().unwrap()
}

/// The location of the delivery id, as `presets.toml` writes it.
fn id(preset: &toml::Value) -> String {
    let Some(location) = preset.get("delivery_id").and_then(toml::Value::as_table) else {
        return "none".to_owned();
    };
    let last = |pointer: &toml::Value| pointer.as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let (key, value) = location.iter().next().unwrap();
    match key.as_str() {
        "header" => format!("`{}`", value.as_str().unwrap()),
        "pointers" => {
            let names: Vec<String> = value.as_array().unwrap().iter().map(last).collect();
            format!("body, `{}` together", names.join("` and `"))
        }
        "pointer" => format!("body `{}`", value.as_str().unwrap()),
        "form" => format!("form `{}`", value.as_str().unwrap()),
        other => panic!("{other}"),
    }
}

fn list() -> String {
    let (presets, facts) = (table("src/scheme/presets.toml"), table("src/scheme/facts.toml"));
    let mut list = String::from(
        "| preset | delivery id | of | equal bytes | a retry | deadline | retries | largest body | acknowledgement | sources |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for (name, facts) in &facts {
        let text = |key: &str, absent: &str| {
            facts
                .get(key)
                .map_or(absent, |value| value.as_str().unwrap())
                .to_owned()
        };
        let mut acknowledgement = text("acknowledgement", "");
        match text("acknowledgement_body", "").as_str() {
            "" => {}
            body => write!(acknowledgement, " `{body}`").unwrap(),
        }
        if facts.get("answer_used").is_some_and(|used| used.as_bool().unwrap()) {
            acknowledgement.push_str(", the application's only");
        }
        let sources = facts["sources"]
            .as_array()
            .unwrap()
            .iter()
            .map(|source| source.as_str().unwrap());
        let sources: Vec<String> = sources
            .enumerate()
            .map(|(index, source)| {
                if source.starts_with("https://") {
                    format!("[{}]({source})", index + 1)
                } else {
                    source.to_owned()
                }
            })
            .collect();
        let largest = facts.get("largest_body").map_or("–".to_owned(), |bytes| {
            let kib = bytes.as_integer().unwrap() >> 10;
            if kib % 1024 == 0 {
                format!("{} MiB", kib >> 10)
            } else {
                format!("{kib} KiB")
            }
        });
        let cells = [
            format!("`{name}`"),
            id(&presets[name]),
            text("id", "–"),
            text("equal_bytes", ""),
            text("retry", "–").replace('-', " "),
            text("deadline", "–"),
            text("retries", "–"),
            largest,
            acknowledgement,
            sources.join(", "),
        ];
        writeln!(list, "| {} |", cells.join(" | ")).unwrap();
    }
    list
}

#[test]
fn the_table_of_deliveries_is_up_to_date() {
    let path = repository("docs/schemes.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the line before the table");
    let (written, after) = rest.split_once(END).expect("the line after the table");
    let list = list();
    if std::env::var_os("UPDATE_LISTS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{list}{END}{after}")).unwrap();
    } else {
        assert!(
            written == list,
            "docs/schemes.md is out of date: run `UPDATE_LISTS=1 cargo test --test it the_table_of_deliveries`"
        );
    }
}

/// The delivery ids of the two tables of the document are the same.
#[test]
fn the_table_of_signatures_names_the_same_ids() {
    let text = std::fs::read_to_string(repository("docs/schemes.md")).unwrap();
    for (name, preset) in &table("src/scheme/presets.toml") {
        let row = text
            .lines()
            .find(|line| line.starts_with(&format!("| `{name}` | ")))
            .unwrap();
        let written = row.split('|').nth(7).unwrap().trim();
        match id(preset).as_str() {
            "none" => assert_eq!(written, "", "{name}"),
            location => assert_eq!(written, location, "{name}"),
        }
    }
}
