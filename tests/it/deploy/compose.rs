//! The compose file, read by docker-compose itself, and the configuration of hookgate in it.

use crate::support::gateway::binary;
use crate::support::tools::{copy, repository, run, succeeds, yaml};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

/// docker-compose accepts the file; the application is reachable through hookgate only, and the other ports from this
/// machine only.
#[test]
fn the_compose_file_keeps_the_application_behind_hookgate() {
    let tree = tempfile::tempdir().unwrap();
    copy(&repository("deploy/compose"), &tree.path().join("compose"));
    copy(
        &repository("deploy/examples/flask"),
        &tree.path().join("examples/flask"),
    );
    let mut config = Command::new("docker-compose");
    config.arg("-f").arg(tree.path().join("compose/compose.yaml"));
    succeeds(config.args(["config", "--quiet"]), b"");
    // The output of docker-compose differs between its versions, so the file itself is checked.
    let compose = read("deploy/compose/compose.yaml");
    let services = compose["services"].as_object().unwrap();

    for (name, service) in services {
        for port in service["ports"].as_array().into_iter().flatten() {
            let port = port.as_str().unwrap();
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port}");
        }
    }
    let networks = |name: &str| {
        let networks = services[name]["networks"].as_array().unwrap();
        let mut networks: Vec<&str> = networks.iter().map(|name| name.as_str().unwrap()).collect();
        networks.sort_unstable();
        networks
    };
    assert!(services["application"]["ports"].is_null());
    assert_eq!(networks("application"), ["inside"]);
    assert_eq!(compose["networks"]["inside"]["internal"], true);
    let guests: Vec<&String> = services
        .keys()
        .filter(|name| networks(name).contains(&"inside"))
        .collect();
    assert_eq!(guests, ["hookgate", "application"]);

    let hookgate = &services["hookgate"];
    assert_eq!(hookgate["read_only"], true);
    assert_eq!(hookgate["cap_drop"], json!(["ALL"]));
    assert_eq!(hookgate["build"]["target"], "static");
    let mounts = services
        .values()
        .flat_map(|service| service["volumes"].as_array().into_iter().flatten());
    let sources = mounts.map(|mount| mount.as_str().unwrap().split(':').next().unwrap());
    let ours = sources.filter(|source| source.starts_with("."));
    let ours: Vec<&str> = ours.filter(|path| !path.starts_with("./secrets/")).collect();
    assert!(ours.len() >= 7, "{ours:?}");
    for path in ours {
        let path = repository("deploy/compose").join(path);
        assert!(path.is_file(), "{} is mounted but does not exist", path.display());
    }
}

/// A YAML file of the repository.
fn read(path: &str) -> Value {
    yaml(&fs::read_to_string(repository(path)).unwrap()).remove(0)
}

/// hookgate accepts the configuration in the compose file, and Prometheus scrapes the address where hookgate listens.
#[test]
fn the_compose_configuration_is_accepted() {
    let text = fs::read_to_string(repository("deploy/compose/gateway.toml")).unwrap();
    let table: toml::Table = text.parse().unwrap();
    let place = tempfile::tempdir().unwrap();
    let secret = place.path().join("paddle_webhook_secret");
    fs::write(&secret, "pdl_ntfset_01hookgate_a_secret").unwrap();
    let mounted = table["route"][0]["secrets"][0]["file"].as_str().unwrap();
    let file = place.path().join("gateway.toml");
    fs::write(&file, text.replace(mounted, secret.to_str().unwrap())).unwrap();
    let output = run(binary().arg("check").arg("--config").arg(&file), b"");
    assert!(output.status.success(), "{output:?}");

    let compose = read("deploy/compose/compose.yaml");
    let volumes = compose["services"]["hookgate"]["volumes"].as_array().unwrap();
    assert!(
        volumes.iter().any(|volume| volume.as_str().unwrap().contains(mounted)),
        "{volumes:?}"
    );
    let port = table["admin"]["address"].as_str().unwrap().rsplit(':').next().unwrap();
    let prometheus = read("deploy/compose/prometheus.yml");
    assert_eq!(
        prometheus["scrape_configs"][0]["static_configs"][0]["targets"][0],
        format!("hookgate:{port}")
    );
    let upstream = table["route"][0]["upstream"].as_str().unwrap();
    assert_eq!(
        upstream.strip_prefix("http://application"),
        compose["services"]["application"]["environment"]["BIND"]
            .as_str()
            .unwrap()
            .strip_prefix("0.0.0.0")
    );
    let published = compose["services"]["hookgate"]["ports"][0].as_str().unwrap();
    assert!(
        table["listen"]["address"]
            .as_str()
            .unwrap()
            .ends_with(published.rsplit_once(':').unwrap().1)
    );
}
