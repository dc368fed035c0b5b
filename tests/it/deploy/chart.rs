//! What the chart says of itself, and its own test (`helm test`).

use super::kubernetes::{DEPLOYMENT, Helm, chart};
use crate::support::gateway::binary;
use crate::support::setup::Setup;
use crate::support::tools::{fails, repository, succeeds, yaml};
use crate::support::upstream::Upstream;
use std::net::{SocketAddr, TcpListener};

/// Chart.yaml repeats what Cargo.toml says, and every address in it is one that exists: an address without a published
/// repository would lead a user of Artifact Hub to nothing, or to someone else.
#[test]
fn the_chart_describes_the_package_and_invents_no_address() {
    let text = std::fs::read_to_string(chart().join("Chart.yaml")).unwrap();
    let described = &yaml(&text)[0];
    let cargo = std::fs::read_to_string(repository("Cargo.toml")).unwrap();
    let cargo: toml::Table = cargo.parse().unwrap();
    let package = &cargo["package"];
    for key in ["version", "appVersion"] {
        assert_eq!(described[key].as_str(), package["version"].as_str(), "{key}");
    }
    let licence = described["annotations"]["artifacthub.io/license"].as_str().unwrap();
    let licences = package["license"].as_str().unwrap();
    assert!(licences.split(" OR ").any(|one| one == licence), "{licence}");
    let known: Vec<&str> = package["keywords"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(toml::Value::as_str)
        .collect();
    let keywords = described["keywords"].as_array().unwrap();
    for keyword in &known {
        assert!(keywords.iter().any(|listed| listed == keyword), "{keyword}");
    }
    let address = package.get("repository").and_then(toml::Value::as_str);
    assert_eq!(
        described["home"].as_str(),
        address,
        "home is the repository of Cargo.toml"
    );
    assert_eq!(
        described["icon"].is_null(),
        address.is_none(),
        "an icon needs an address"
    );
    let maintainers = described["maintainers"].as_array().unwrap();
    assert!(maintainers.iter().all(|maintainer| maintainer["name"].is_string()));
}

/// `helm test` runs this command in a pod. It reaches the admin port through a Service of the release; here the Service
/// is replaced by the address of a gateway on this machine.
#[test]
fn the_command_of_helm_test_succeeds_only_while_the_gateway_is_ready() {
    let cluster = Helm::new().cluster(&chart(), &[DEPLOYMENT]);
    let container = &cluster.only("Pod")["spec"]["containers"][0];
    assert_eq!(container["image"], cluster.container()["image"]);
    assert!(container["command"].is_null(), "the image's entry point is hookgate");
    let arguments: Vec<&str> = container["args"]
        .as_array()
        .unwrap()
        .iter()
        .map(|argument| argument.as_str().unwrap())
        .collect();
    let named = arguments.last().unwrap();
    let service = cluster
        .of("Service")
        .find(|service| {
            let metadata = &service["metadata"];
            let host = format!(
                "{}.{}.svc",
                metadata["name"].as_str().unwrap(),
                metadata["namespace"].as_str().unwrap()
            );
            named.starts_with(&format!("{host}:"))
        })
        .unwrap_or_else(|| panic!("{named} is no Service of the release"));
    let ports = service["spec"]["ports"].as_array().unwrap();
    let is_open = |port: &serde_json::Value| named.ends_with(&format!(":{}", port["port"]));
    assert!(ports.iter().any(is_open), "{named}: {ports:?}");

    let command = |address: SocketAddr| {
        let mut command = binary();
        let own = &arguments[..arguments.len() - 1];
        command.args(own).arg(address.to_string());
        command
    };
    let upstream = Upstream::ok();
    let ready = Setup::new(&upstream.url()).start();
    succeeds(&mut command(ready.admin()), b"");
    let nothing = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(fails(&mut command(nothing)).contains("no connection"));
    // An application that does not answer the health checks makes the gateway not ready.
    let waiting = Setup::new(&format!("http://{nothing}"))
        .admin("readiness = \"upstream\"")
        .upstream("health_check = { path = \"/\", interval = \"100ms\" }")
        .expecting_readiness(503)
        .start();
    assert!(fails(&mut command(waiting.admin())).contains("is not ready"));
}
