//! The examples of `deploy/examples`, each started by its own `run` and tested with the same checks: five frameworks,
//! one table. The requests that an application received are read from its own log.

mod checks;
mod deploys;
mod failures;
mod order;
mod processes;

use checks::{a_hundred_concurrent_webhooks_are_served, only_genuine_webhooks_reach_it, run_starts_both_processes};
use deploys::a_deploy_under_load_is_seen_by_no_sender;
use failures::{a_crashed_application_gets_the_retry, a_slow_or_absent_application_gets_the_retry};
use order::Convention;
use processes::Transport;
use rustix::process::Signal;
use std::path::{Path, PathBuf};

/// The properties of an example that the checks depend on.
pub(crate) struct Example {
    /// Its directory.
    name: &'static str,
    /// The path for the webhooks of Paddle Billing.
    path: &'static str,
    /// A text that the log of its server or framework contains once for each received request.
    request: &'static str,
    /// The conventions that it accepts.
    conventions: &'static [Convention],
    /// Its answer to a request for another host.
    foreign_host: Option<u16>,
    /// The time after signing within which it verifies the signature again itself, as Paddle's SDK does; `None` where
    /// it does not verify.
    verifies: bool,
    /// Whether it creates its Unix socket for its own user and group only.
    guards_its_socket: bool,
    /// Whether it refuses requests without the header that hookgate adds.
    token: bool,
    /// The signal at which its server takes the application's new code, and what its log says then; `None` where the server is
    /// stopped and started.
    reload: Option<(Signal, &'static str)>,
    /// Whether its deploy is a test of `make test`, and not only of `make soak`.
    is_deployed_always: bool,
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
    reload: Some((Signal::HUP, "Booting worker")),
    is_deployed_always: true,
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
    reload: Some((Signal::USR2, "Puma version")),
    is_deployed_always: true,
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
    reload: None,
    is_deployed_always: false,
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
    reload: Some((Signal::HUP, "Started server process")),
    is_deployed_always: false,
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
    reload: Some((Signal::HUP, "Booting worker")),
    is_deployed_always: false,
};

impl Example {
    fn directory(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("deploy/examples")
            .join(self.name)
    }
}

/// The tests of one example: each check, over the transports that it applies to.
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
    run_starts_both_processes(unix: Unix),
    only_genuine_webhooks_reach_it(unix: Unix, tcp: Tcp),
    a_hundred_concurrent_webhooks_are_served(unix: Unix),
    a_slow_or_absent_application_gets_the_retry(unix: Unix),
    a_crashed_application_gets_the_retry(unix: Unix),
    a_deploy_under_load_is_seen_by_no_sender(unix: Unix)
);
example!(
    rails,
    RAILS,
    run_starts_both_processes(unix: Unix),
    only_genuine_webhooks_reach_it(unix: Unix, tcp: Tcp),
    a_hundred_concurrent_webhooks_are_served(unix: Unix),
    a_slow_or_absent_application_gets_the_retry(tcp: Tcp),
    a_crashed_application_gets_the_retry(unix: Unix),
    a_deploy_under_load_is_seen_by_no_sender(unix: Unix)
);
example!(
    django,
    DJANGO,
    run_starts_both_processes(tcp: Tcp),
    only_genuine_webhooks_reach_it(unix: Unix, tcp: Tcp),
    a_hundred_concurrent_webhooks_are_served(tcp: Tcp),
    a_slow_or_absent_application_gets_the_retry(tcp: Tcp),
    a_crashed_application_gets_the_retry(tcp: Tcp),
    a_deploy_under_load_is_seen_by_no_sender(tcp: Tcp)
);
example!(
    fastapi,
    FASTAPI,
    run_starts_both_processes(tcp: Tcp),
    only_genuine_webhooks_reach_it(unix: Unix, tcp: Tcp),
    a_hundred_concurrent_webhooks_are_served(tcp: Tcp),
    a_slow_or_absent_application_gets_the_retry(tcp: Tcp),
    a_crashed_application_gets_the_retry(unix: Unix),
    a_deploy_under_load_is_seen_by_no_sender(tcp: Tcp)
);
example!(
    nextjs,
    NEXTJS,
    run_starts_both_processes(tcp: Tcp),
    only_genuine_webhooks_reach_it(tcp: Tcp),
    a_hundred_concurrent_webhooks_are_served(tcp: Tcp),
    a_slow_or_absent_application_gets_the_retry(tcp: Tcp),
    a_crashed_application_gets_the_retry(tcp: Tcp),
    a_deploy_under_load_is_seen_by_no_sender(tcp: Tcp)
);

/// HTTP/1.0 and answers that end with the connection, as the frameworks' own development servers send them.
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
