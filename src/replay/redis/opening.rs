//! What a connection to the store sends first, and what the replies say about the server.

use super::script::{self, OPERATIONS, Script};
use crate::remote::redis::{OpenConnection, describe, text_of};
use redis::{Cmd, cmd};

/// What a server can do.
pub(super) struct Server {
    /// In the order of [`OPERATIONS`].
    pub(super) scripts: [Script; OPERATIONS.len()],
    /// Whether the server is version 7.0 or later, where one command can claim a single key.
    pub(super) sets_and_gets: bool,
    /// The server's eviction policy, if it can evict keys: it has a memory limit and a policy other than `noeviction`.
    pub(super) evicts: Option<String>,
}

/// The commands: the scripts are loaded, and the eviction policy is read.
pub(super) fn commands() -> Vec<Cmd> {
    let mut commands = vec![cmd("INFO").arg("memory").clone()];
    commands.extend(script::all(true).map(|script| cmd("SCRIPT").arg("LOAD").arg(script.text).clone()));
    commands
}

/// Reads the replies to [`commands`].
///
/// # Errors
/// What the server says when it loads no script.
pub(super) fn server(open: &OpenConnection) -> Result<Server, String> {
    let [memory, loaded @ ..] = open.replies.as_slice() else {
        return Err(String::from("too few replies"));
    };
    let refusals: Vec<String> = loaded
        .iter()
        .filter_map(|reply| reply.as_ref().err())
        .map(describe)
        .collect();
    // Before 7.0 the line with the flags is a syntax error.
    let is_old = refusals.iter().any(|error| is_syntax(error));
    if let Some(error) = refusals.into_iter().next().filter(|_| !is_old) {
        return Err(error);
    }
    Ok(Server {
        scripts: script::all(!is_old),
        sets_and_gets: !is_old,
        evicts: memory.as_ref().ok().and_then(|memory| evicting(&text_of(memory))),
    })
}

fn is_syntax(error: &str) -> bool {
    error.contains("compiling script")
}

/// The value of `maxmemory-policy`, if there is a memory limit and the policy is not `noeviction`. For a cluster `info`
/// has the lines of all nodes.
fn evicting(info: &str) -> Option<String> {
    let mut is_limited = false;
    for line in info.lines() {
        if let Some(limit) = line.strip_prefix("maxmemory:") {
            is_limited = limit.trim() != "0";
        }
        if let Some(policy) = line.strip_prefix("maxmemory_policy:").map(str::trim)
            && is_limited
            && policy != "noeviction"
        {
            return Some(policy.to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eviction_policy_counts_only_with_a_memory_limit() {
        let info = |limit: u32, policy: &str| format!("# Memory\r\nmaxmemory:{limit}\r\nmaxmemory_policy:{policy}\r\n");
        assert_eq!(evicting(&info(1, "allkeys-lru")).as_deref(), Some("allkeys-lru"));
        assert_eq!(evicting(&info(1, "volatile-ttl")).as_deref(), Some("volatile-ttl"));
        assert_eq!(evicting(&info(1, "noeviction")), None);
        assert_eq!(evicting(&info(0, "allkeys-lru")), None);
        assert_eq!(evicting(""), None);
        let nodes = [info(0, "allkeys-lru"), info(1, "noeviction"), info(9, "volatile-lfu")].concat();
        assert_eq!(
            evicting(&nodes).as_deref(),
            Some("volatile-lfu"),
            "one node of a cluster evicts"
        );
    }
}
