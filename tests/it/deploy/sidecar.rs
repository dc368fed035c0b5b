//! The chart of an application that includes the sidecar, and the kustomize base; rendered by the real tools and checked like the
//! chart itself.

use super::kubernetes::{DEPLOYMENT, Helm, chart};
use crate::support::cluster::{Cluster, are_valid};
use crate::support::tools::{copy, repository, succeeds, tool, yaml};
use crate::support::{Setup, Upstream};

/// An application's own chart includes the sidecar. The probes and the hook ask for paths that the real admin listener
/// has.
#[test]
fn an_application_chart_includes_the_sidecar() {
    let place = tempfile::tempdir().unwrap();
    copy(&repository("deploy/helm"), place.path());
    let example = place.path().join("example");
    let helm = Helm::new();
    succeeds(
        &mut helm.with(&["dependency", "update", "--skip-refresh"], &example, &[]),
        b"",
    );
    let clusters: Vec<Cluster> = [
        "",
        "hookgate: { drain: { delaySeconds: 10 }, monitor: { kind: PodMonitor }, networkPolicy: { applicationPorts: [8080] } }",
        "hookgate: { monitor: { kind: ServiceMonitor }, tls: { certManager: { enabled: true, issuerRef: { name: ca }, dnsNames: [a.example] } } }",
    ]
    .iter()
    .map(|more| helm.cluster(&example, &[more]))
    .collect();
    are_valid(&clusters);
    for cluster in &clusters {
        cluster.holds();
        is_a_sidecar(cluster);
        assert_eq!(
            cluster.of("PodDisruptionBudget").count(),
            0,
            "the selector belongs to the application"
        );
    }
    let ports = |cluster: &Cluster| {
        let rules = cluster.only("NetworkPolicy")["spec"]["ingress"]
            .as_array()
            .unwrap()
            .clone();
        rules
            .iter()
            .map(|rule| rule["ports"][0]["port"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        ports(&clusters[0]),
        [8443, 9464],
        "the application's port 8000 is closed"
    );
    assert_eq!(ports(&clusters[1]), [8443, 9464, 8080]);

    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let container = clusters[0].container();
    for path in [
        &container["startupProbe"]["httpGet"]["path"],
        &container["readinessProbe"]["httpGet"]["path"],
        &container["livenessProbe"]["httpGet"]["path"],
    ] {
        assert_eq!(gateway.ask(path.as_str().unwrap()).status, 200, "{path}");
    }
    let hook = &container["lifecycle"]["preStop"]["exec"]["command"];
    assert_eq!(*hook, serde_json::json!(["/hookgate", "stopping"]));
}

/// The sidecar starts before the application and stops after it, with time for both.
#[track_caller]
fn is_a_sidecar(cluster: &Cluster) {
    let (pod, sidecar) = (cluster.pod(), cluster.container());
    assert_eq!(sidecar["restartPolicy"], "Always");
    assert_eq!(*sidecar, pod["initContainers"][0]);
    assert_eq!(
        sidecar["startupProbe"]["httpGet"]["path"], "/livez",
        "readiness may depend on the application, which starts after this probe"
    );
    let application = &pod["containers"][0];
    let sleep = application["lifecycle"]["preStop"]["sleep"]["seconds"]
        .as_u64()
        .unwrap();
    let configuration: toml::Table = cluster.gateway_toml().parse().unwrap();
    let delay = configuration["drain"]["delay"].as_str().unwrap();
    assert_eq!(format!("{sleep}s"), delay);
    let listens = application["args"].as_array().unwrap();
    assert!(
        listens.iter().any(|argument| argument == "127.0.0.1:8000"),
        "{application:#}"
    );
    assert_eq!(
        configuration["route"][0]["upstream"].as_str(),
        Some("http://127.0.0.1:8000")
    );
    let given = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(given >= sleep + 30 + sleep + 25, "{given}");
}

/// The base and the component without Helm; their container equals the chart's.
#[test]
fn kustomize_renders_the_same_container() {
    let built = |path: &str| {
        let mut command = tool("bin/kubectl");
        command.arg("kustomize").arg(repository("deploy/kustomize").join(path));
        Cluster {
            resources: yaml(&succeeds(&mut command, b"")),
        }
    };
    let clusters = [built("base"), built("example")];
    are_valid(&clusters);
    clusters.iter().for_each(Cluster::holds);
    is_a_sidecar(&clusters[1]);
    assert_eq!(clusters[0].pod()["enableServiceLinks"], false);
    let policy = clusters[0].only("NetworkPolicy");
    assert_eq!(
        policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/name"],
        "hookgate"
    );

    let helm = Helm::new();
    let chart = helm.cluster(&chart(), &[DEPLOYMENT]);
    for cluster in &clusters {
        let (ours, charts) = (cluster.container(), chart.container());
        let image = ours["image"].as_str().unwrap();
        assert!(
            charts["image"].as_str().unwrap().ends_with(&format!("/{image}")),
            "{image}"
        );
        for key in [
            "args",
            "env",
            "ports",
            "startupProbe",
            "readinessProbe",
            "livenessProbe",
            "resources",
            "securityContext",
        ] {
            assert_eq!(ours[key], charts[key], "{key}");
        }
    }
}
