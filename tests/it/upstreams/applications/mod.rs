//! The examples of `deploy/examples`, each brought up by its own `run` and put to the same checks: five frameworks, one
//! table. What an application saw is read from its own log.

mod checks;
mod failures;
mod order;
mod stage;

use checks::{a_crowd_is_served, only_the_genuine_passes, run_brings_up_both};
use failures::{a_crash_is_retried, what_is_slow_or_down_is_retried};
use order::Convention;
use stage::Transport;
use std::path::{Path, PathBuf};

/// What the checks must know of an example.
pub(crate) struct Example {
    /// Its directory.
    name: &'static str,
    /// Where Paddle Billing's webhooks go.
    path: &'static str,
    /// What the log of its server or framework has once for each request that reached it.
    request: &'static str,
    /// What it takes.
    conventions: &'static [Convention],
    /// What it answers to a request for a host that is not its own.
    foreign_host: Option<u16>,
    /// Whether it verifies again by itself, for as long after signing as Paddle's SDK allows.
    verifies: bool,
    /// Whether it makes its Unix socket for its own user and group only.
    guards_its_socket: bool,
    /// Whether it refuses requests without the header that hookgate adds.
    token: bool,
}

static FLASK: Example = Example {
    name: "flask",
    path: "/webhooks/billing",
    request: "request ",
    conventions: &[
        Convention::Billing,
        Convention::ClassicPost,
        Convention::ClassicGet,
        Convention::Digest,
    ],
    foreign_host: None,
    verifies: false,
    guards_its_socket: true,
    token: false,
};

static RAILS: Example = Example {
    name: "rails",
    path: "/webhooks/paddle",
    request: "Started ",
    conventions: &[Convention::Billing],
    foreign_host: Some(403),
    verifies: true,
    guards_its_socket: true,
    token: false,
};

static NEXTJS: Example = Example {
    name: "nextjs",
    path: "/api/webhooks/paddle",
    request: "request ",
    conventions: &[Convention::Billing],
    foreign_host: None,
    verifies: true,
    guards_its_socket: false,
    token: true,
};

static FASTAPI: Example = Example {
    name: "fastapi",
    path: "/webhooks/paddle",
    request: " HTTP/1.1\" ",
    conventions: &[Convention::Billing],
    foreign_host: None,
    verifies: false,
    guards_its_socket: false,
    token: true,
};

static DJANGO: Example = Example {
    name: "django",
    path: "/webhooks/paddle",
    request: "request ",
    conventions: &[Convention::Billing],
    foreign_host: Some(400),
    verifies: false,
    guards_its_socket: true,
    token: true,
};

impl Example {
    fn directory(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("deploy/examples")
            .join(self.name)
    }
}

/// The tests of one example: each check, over the transports that it is to be seen over.
macro_rules! example {
    ($name:ident, $example:ident, $($check:ident($($transport:ident: $kind:ident),+)),+) => {
        mod $name {
            $(mod $check {
                use super::super::*;

                $(#[test]
                fn $transport() {
                    $check(&$example, Transport::$kind);
                })+
            })+
        }
    };
}

example!(
    flask,
    FLASK,
    run_brings_up_both(unix: Unix),
    only_the_genuine_passes(unix: Unix, tcp: Tcp),
    a_crowd_is_served(unix: Unix),
    what_is_slow_or_down_is_retried(unix: Unix),
    a_crash_is_retried(unix: Unix)
);
example!(
    rails,
    RAILS,
    run_brings_up_both(unix: Unix),
    only_the_genuine_passes(unix: Unix, tcp: Tcp),
    a_crowd_is_served(unix: Unix),
    what_is_slow_or_down_is_retried(tcp: Tcp),
    a_crash_is_retried(unix: Unix)
);
example!(
    django,
    DJANGO,
    run_brings_up_both(tcp: Tcp),
    only_the_genuine_passes(unix: Unix, tcp: Tcp),
    a_crowd_is_served(tcp: Tcp),
    what_is_slow_or_down_is_retried(tcp: Tcp),
    a_crash_is_retried(tcp: Tcp)
);
example!(
    fastapi,
    FASTAPI,
    run_brings_up_both(tcp: Tcp),
    only_the_genuine_passes(unix: Unix, tcp: Tcp),
    a_crowd_is_served(tcp: Tcp),
    what_is_slow_or_down_is_retried(tcp: Tcp),
    a_crash_is_retried(unix: Unix)
);
example!(
    nextjs,
    NEXTJS,
    run_brings_up_both(tcp: Tcp),
    only_the_genuine_passes(tcp: Tcp),
    a_crowd_is_served(tcp: Tcp),
    what_is_slow_or_down_is_retried(tcp: Tcp),
    a_crash_is_retried(tcp: Tcp)
);

/// HTTP/1.0 and answers that end with the connection, as the frameworks' own development servers give them.
mod development {
    use super::*;

    #[test]
    fn flask() {
        checks::development_server(&FLASK, "HTTP/1.0 200 OK");
    }

    #[test]
    fn django() {
        checks::development_server(&DJANGO, "HTTP/1.1 200 OK");
    }
}
