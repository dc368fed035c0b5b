//! The console in the chart: its Service, its Ingress, its port, and the example with oauth2-proxy.

use super::kubernetes::{DEPLOYMENT, Helm, chart};
use crate::support::cluster::{Cluster, are_valid, find};
use crate::support::tools::{fails, repository};
use serde_json::{Value, json};

/// A console for people with tokens, behind an Ingress.
const CONSOLE: &str = r#"
console:
  enabled: true
  port: 9500
  settings: { behind_tls: true, hosts: [console.example.com], tokens: [{ name: anna, role: operate, env: HOOKGATE_TOKEN_ANNA }] }
  service: { annotations: { a: b } }
  ingress: { enabled: true, className: nginx, host: console.example.com, annotations: { c: d }, tls: [{ secretName: console-tls, hosts: [console.example.com] }] }
env: [{ name: HOOKGATE_TOKEN_ANNA, valueFrom: { secretKeyRef: { name: console, key: anna } } }]
"#;

fn named<'a>(cluster: &'a Cluster, kind: &'a str, end: &str) -> Vec<&'a Value> {
    let is_named = |one: &&Value| one["metadata"]["name"].as_str().unwrap().ends_with(end);
    cluster.of(kind).filter(is_named).collect()
}

/// Off by default. Turned on, Service, Ingress, policy and configuration name the same port, and a browser stays with one pod.
#[test]
fn the_console_has_a_service_and_an_ingress_of_its_own() {
    let helm = Helm::new();
    let without = helm.cluster(&chart(), &[DEPLOYMENT]);
    assert!(named(&without, "Service", "-console").is_empty() && without.of("Ingress").count() == 0);
    assert!(!without.gateway_toml().contains("[console]"));

    let cluster = helm.cluster(&chart(), &[DEPLOYMENT, CONSOLE]);
    cluster.holds();
    let service = named(&cluster, "Service", "-console")[0];
    assert_eq!(service["spec"]["sessionAffinity"], "ClientIP");
    assert_eq!(service["metadata"]["annotations"]["a"], "b");
    assert_eq!(service["spec"]["ports"][0]["port"], 9500);
    let port = find(
        &cluster.container()["ports"],
        service["spec"]["ports"][0]["targetPort"].as_str().unwrap(),
    );
    assert_eq!(port["containerPort"], 9500);
    let written: toml::Table = cluster.gateway_toml().parse().unwrap();
    assert_eq!(written["console"]["address"].as_str(), Some("0.0.0.0:9500"));
    let labels = &cluster.only("Deployment")["spec"]["template"]["metadata"]["labels"];
    for (name, value) in service["spec"]["selector"].as_object().unwrap() {
        assert_eq!(labels[name], *value, "{name}");
    }
    let ingress = &cluster.only("Ingress")["spec"];
    assert_eq!(
        (&ingress["ingressClassName"], &ingress["tls"][0]["secretName"]),
        (&"nginx".into(), &"console-tls".into())
    );
    assert_eq!(ingress["rules"][0]["host"], "console.example.com");
    let backend = &ingress["rules"][0]["http"]["paths"][0]["backend"]["service"];
    assert_eq!(
        (&backend["name"], &backend["port"]["name"]),
        (&service["metadata"]["name"], &"console".into())
    );
    let policy = cluster.only("NetworkPolicy")["spec"]["ingress"].to_string();
    assert!(policy.contains("9500"), "{policy}");
    // The webhooks' own Service does not lead to it.
    let others = cluster.of("Service").filter(|one| *one != service);
    assert!(
        others
            .into_iter()
            .all(|one| !one["spec"]["ports"].to_string().contains("console"))
    );

    let alone = helm.cluster(
        &chart(),
        &[DEPLOYMENT, CONSOLE, "console: { ingress: { enabled: false } }"],
    );
    assert_eq!(
        (named(&alone, "Service", "-console").len(), alone.of("Ingress").count()),
        (1, 0)
    );
    // With an inbox the pods are those of a StatefulSet.
    let inbox = r#"
routes: [{ name: paddle, path: /p, provider: paddle, secrets: [{ secretName: paddle, key: secret }], upstream: "http://application:8000", settings: { delivery: failover } }]
inbox: { enabled: true, size: 1Gi }
"#;
    let stored = helm.cluster(&chart(), &[DEPLOYMENT, CONSOLE, inbox]);
    assert_eq!(find(&stored.container()["ports"], "console")["containerPort"], 9500);
    are_valid(&[cluster, alone, stored]);
    let more = "console: { enabled: false }";
    let refused = fails(&mut helm.with(&["template", "release"], &chart(), &[DEPLOYMENT, CONSOLE, more]));
    assert!(refused.contains("an Ingress needs console.enabled"), "{refused}");
}

/// Without TLS and `behind_tls`, a console on the pod's address is refused by `hookgate check`, and so is one that nobody may use.
#[test]
fn an_open_console_is_refused() {
    let helm = Helm::new();
    for more in [
        "console: { settings: { behind_tls: false } }",
        "console: { settings: { tokens: [] } }",
    ] {
        let cluster = helm.cluster(&chart(), &[DEPLOYMENT, CONSOLE, more]);
        let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cluster.holds()));
        assert!(held.is_err(), "{more} was accepted");
    }
}

/// The example with oauth2-proxy: the Ingress leads to it and not to the console, it asks the console of its own pod, and it
/// sets the header that the console believes.
#[test]
fn the_example_with_oauth2_proxy_leads_through_it() {
    let helm = Helm::new();
    let values = std::fs::read_to_string(repository("deploy/helm/examples/oauth2-proxy.yaml")).unwrap();
    let cluster = helm.cluster(
        &chart(),
        &[&values, "image: { repository: registry.example.com/hookgate }"],
    );
    cluster.holds();
    let backend = &cluster.only("Ingress")["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"];
    let service = named(&cluster, "Service", "console-login")[0];
    assert_eq!(backend["name"], service["metadata"]["name"]);
    let proxy = find(&cluster.pod()["containers"], "oauth2-proxy");
    let target = service["spec"]["ports"][0]["targetPort"].as_str().unwrap();
    assert_eq!(find(&proxy["ports"], target)["containerPort"], 4180);
    let labels = &cluster.only("Deployment")["spec"]["template"]["metadata"]["labels"];
    for (name, value) in service["spec"]["selector"].as_object().unwrap() {
        assert_eq!(labels[name], *value, "{name}");
    }
    let arguments = proxy["args"].to_string();
    let written: toml::Table = cluster.gateway_toml().parse().unwrap();
    let console = &written["console"];
    let port = console["address"]
        .as_str()
        .unwrap()
        .rsplit(':')
        .next()
        .unwrap()
        .to_owned();
    assert!(
        arguments.contains(&format!("--upstream=http://127.0.0.1:{port}")),
        "{arguments}"
    );
    assert!(
        arguments.contains("--pass-user-headers=true") && console["user_header"].as_str() == Some("X-Forwarded-Email")
    );
    assert_eq!(json!(console["trusted_proxies"]), json!(["127.0.0.1"]));
    assert!(
        cluster.only("NetworkPolicy")["spec"]["ingress"]
            .to_string()
            .contains("4180")
    );
}
