//! Any text as a configuration file: no panic, and no fault and no debug output contains the secret.
#![no_main]
use hookgate::config::{self, Sources};
use libfuzzer_sys::fuzz_target;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::LazyLock;

const SECRET: &str = "pdl_ntfset_canary_0123456789abcdef";

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a temporary directory").keep();
    directory.join("gateway.toml")
});

fuzz_target!(|text: &str| {
    // Paths of device files would make the result depend on the machine.
    if text.contains("/dev") || text.contains("/proc") || text.contains("/sys") {
        return;
    }
    std::fs::write(&*FILE, text).expect("a file");
    let sources = Sources {
        file: Some(FILE.clone()),
        environment: vec![(OsString::from("SECRET"), OsString::from(SECRET))],
        overrides: Vec::new(),
    };
    match config::load(&sources) {
        Ok(config) => assert!(!format!("{config:?}").contains(SECRET)),
        Err(faults) => assert!(!faults.to_string().contains(SECRET)),
    }
});
