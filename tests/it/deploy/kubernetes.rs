//! The Helm chart, the chart of an application that includes it, and the kustomize base: rendered by the real tools
//! over a matrix of values and checked by schemas, by the real `hookgate check`, and by rules that no schema has.

use crate::support::cluster::{Cluster, are_valid, find};
use crate::support::tools::{copy, fails, repository, succeeds, tool, yaml};
use crate::support::{Setup, Upstream};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// The minimal values of a Deployment.
const DEPLOYMENT: &str = r#"
routes:
  - { path: /webhooks/paddle, provider: paddle, secrets: [{ secretName: paddle, key: secret }], upstream: "http://application:8000" }
tls: { secretName: hookgate-tls }
"#;

/// Values that enable everything that a Deployment can have.
const FULL: &str = r#"
fullnameOverride: gate
labels: { team: payments }
image: { repository: registry.example.com/hookgate, digest: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" }
imagePullSecrets: [{ name: registry }]
replicas: 3
routes:
  - name: billing
    path: /webhooks/paddle
    provider: paddle
    secrets: [{ secretName: paddle, key: current, name: current }, { secretName: paddle, key: next, name: next }]
    upstream: application
    settings: { tolerance: 5s, methods: [POST], body_limit: 2MiB, replay: { window: 10m, on_replay: acknowledge }, reject_status: 403 }
  - { path: /webhooks/github, provider: github, secrets: [{ secretName: github, key: secret }], upstream: application, settings: { host: hooks.example.com } }
upstreams:
  application: { url: "http://application:8000", timeout: 4s, idle_connections: 8, headers: { X-Gateway-Token: { env: GATEWAY_TOKEN } } }
settings:
  workers: 4
  limits: { connections: 5000, in_flight_bytes: 32MiB }
  replay: { capacity: 1000000 }
  log: { audit: refused }
listen: { port: 9443, address: "[::]", trustedProxies: [10.0.0.0/8], proxyProtocol: true }
admin: { port: 9999 }
drain: { delaySeconds: 10, graceSeconds: 50 }
terminationGracePeriodSeconds: 90
tls: { certManager: { enabled: true, issuerRef: { name: letsencrypt, kind: ClusterIssuer }, dnsNames: [hooks.example.com] } }
env: [{ name: GATEWAY_TOKEN, valueFrom: { secretKeyRef: { name: token, key: token } } }]
volumes: [{ name: more, emptyDir: {} }]
volumeMounts: [{ name: more, mountPath: /more }]
service: { type: LoadBalancer, port: 8443, annotations: { example.com/scheme: internet-facing } }
networkPolicy:
  from: [{ ipBlock: { cidr: 192.0.2.0/24 } }]
  application: { selector: { app: application }, port: 8000 }
  applicationPorts: [8080]
monitor: { kind: ServiceMonitor, interval: 15s, labels: { release: prometheus } }
serviceAccount: { name: gate, annotations: { a: b } }
podAnnotations: { a: b }
podLabels: { tier: edge }
nodeSelector: { disk: ssd }
tolerations: [{ key: edge, operator: Exists }]
affinity: { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 1, preference: { matchExpressions: [{ key: a, operator: Exists }] } }] } }
topologySpreadConstraints: [{ maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, labelSelector: { matchLabels: { a: b } } }]
priorityClassName: high
"#;

/// Values that are added to [`DEPLOYMENT`].
const VARIATIONS: [&str; 6] = [
    "",
    "tls: { enabled: false, secretName: '' }\nmonitor: { kind: PodMonitor }",
    "networkPolicy: { enabled: false }\npodDisruptionBudget: { enabled: false }\nservice: { enabled: false }",
    "networkPolicy: { monitoringFrom: [] }\nserviceAccount: { create: false }\nreplicas: 1",
    "drain: { delaySeconds: 0, graceSeconds: 1 }\nsettings: { workers: null, limits: null }\npodDisruptionBudget: { maxUnavailable: 50% }",
    "tls: { certManager: { enabled: true, issuerRef: { name: ca }, dnsNames: [a.example.com, b.example.com] } }\nmonitor: { kind: ServiceMonitor }",
];

/// helm, with a home directory of its own.
struct Helm {
    home: TempDir,
}

impl Helm {
    fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tool("bin/helm");
        command.env_clear().env("HOME", self.home.path()).args(arguments);
        command
    }

    /// `helm ARGUMENTS CHART -f VALUES…`.
    fn with(&self, arguments: &[&str], chart: &Path, values: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.arg(chart);
        for (at, text) in values.iter().enumerate() {
            let file = self.home.path().join(format!("values-{at}.yaml"));
            std::fs::write(&file, text).unwrap();
            command.arg("-f").arg(file);
        }
        command
    }

    /// The output of `helm template` for a chart that `helm lint` accepts.
    #[track_caller]
    fn cluster(&self, chart: &Path, values: &[&str]) -> Cluster {
        succeeds(&mut self.with(&["lint", "--strict", "--quiet"], chart, values), b"");
        let text = succeeds(
            &mut self.with(&["template", "release", "--namespace", "shop"], chart, values),
            b"",
        );
        let cluster = Cluster { resources: yaml(&text) };
        for resource in &cluster.resources {
            assert_eq!(resource["metadata"]["namespace"], "shop", "{resource:#}");
        }
        cluster
    }
}

fn chart() -> std::path::PathBuf {
    repository("deploy/helm/hookgate")
}

/// Every set of values renders resources that Kubernetes and the operators accept, and a configuration that hookgate
/// accepts.
#[test]
fn the_chart_is_valid_over_a_matrix_of_values() {
    let helm = Helm::new();
    let mut clusters: Vec<Cluster> = VARIATIONS
        .iter()
        .map(|more| helm.cluster(&chart(), &[DEPLOYMENT, more]))
        .collect();
    clusters.push(helm.cluster(&chart(), &[FULL]));
    for cluster in &clusters {
        cluster.holds();
        assert_eq!(cluster.pod()["automountServiceAccountToken"], false);
        assert_eq!(cluster.pod()["enableServiceLinks"], false);
    }
    are_valid(&clusters);

    let counts = |kind: &str| {
        clusters
            .iter()
            .map(|cluster| cluster.of(kind).count())
            .collect::<Vec<_>>()
    };
    assert_eq!(counts("PodDisruptionBudget"), [1, 1, 0, 1, 1, 1, 1]);
    assert_eq!(counts("NetworkPolicy"), [1, 1, 0, 1, 1, 1, 2]);
    assert_eq!(counts("Service"), [1, 1, 0, 1, 1, 2, 2]);
    assert_eq!(counts("PodMonitor"), [0, 1, 0, 0, 0, 0, 0]);
    assert_eq!(counts("ServiceMonitor"), [0, 0, 0, 0, 0, 1, 1]);
    assert_eq!(counts("Certificate"), [0, 0, 0, 0, 0, 1, 1]);
    assert_eq!(counts("ServiceAccount"), [1, 1, 1, 0, 1, 1, 1]);

    let full: toml::Table = clusters[6].gateway_toml().parse().unwrap();
    assert_eq!(full["replay"]["capacity"].as_integer(), Some(1_000_000), "not 1e+06");
    assert_eq!(full["listen"]["proxy_protocol"].as_bool(), Some(true));
    assert_eq!(clusters[6].pod()["terminationGracePeriodSeconds"], 90);
    let image = concat!("hookgate:", env!("CARGO_PKG_VERSION"));
    assert_eq!(clusters[0].container()["image"], image, "appVersion in Chart.yaml");
    assert_eq!(clusters[0].pod()["terminationGracePeriodSeconds"], 35, "5 + 25 + 5");
    let application = clusters[6]
        .of("NetworkPolicy")
        .find(|policy| policy["spec"]["podSelector"]["matchLabels"]["app"] == "application");
    let rules = application.unwrap()["spec"]["ingress"].as_array().unwrap().clone();
    assert_eq!(rules[0]["ports"][0]["port"], 8000);
    assert_eq!(
        rules[0]["from"][0]["podSelector"]["matchLabels"],
        clusters[6].only("Deployment")["spec"]["selector"]["matchLabels"],
        "the application's port is open to the gateway alone"
    );
    let certificate = &clusters[6].only("Certificate")["spec"]["secretName"];
    assert_eq!(
        *certificate,
        find(&clusters[6].pod()["volumes"], "hookgate-tls")["secret"]["secretName"]
    );
}

/// Values that would not work are refused before anything is rendered, and the message says what to write.
#[test]
fn bad_values_are_refused() {
    let helm = Helm::new();
    for (values, expected_text) in [
        ("replcas: 2", "'replcas' not allowed"),
        ("replicas: two", "/replicas"),
        ("mode: daemonset", "/mode"),
        ("listen: { proxyProtocol: true }", "/listen/trustedProxies"),
        ("routes: []", "at least one is needed"),
        (
            "routes: [{ path: /a, provider: paddle, upstream: \"http://a\" }]",
            "/routes/0",
        ),
        (
            "routes: [{ path: a, provider: paddle, upstream: \"http://a\", secrets: [{ secretName: a, key: b }] }]",
            "/routes/0/path",
        ),
        (
            "routes: [{ path: /a, provider: paddle, upstream: \"http://a\", secrets: [{ env: SECRET }] }]",
            "/routes/0/secrets/0",
        ),
        (
            "routes: [{ path: /a, provider: paddle, upstream: \"http://a\", secrets: [{ secretName: A_b, key: b }] }]",
            "secretName",
        ),
        ("settings: { route: [] }", "invalid propertyName 'route'"),
        ("settings: { listen: {} }", "invalid propertyName 'listen'"),
        ("listen: { port: 443 }", "/listen/port"),
        ("admin: { port: 70000 }", "/admin/port"),
        ("image: { digest: \"sha256:abc\" }", "/image/digest"),
        ("monitor: { kind: Probe }", "/monitor/kind"),
        ("service: { type: ExternalName }", "/service/type"),
        ("drain: { graceSeconds: 0 }", "/drain/graceSeconds"),
        ("drain: { delaySeconds: 5s }", "/drain/delaySeconds"),
        (
            "networkPolicy: { applicationPorts: [0] }",
            "/networkPolicy/applicationPorts/0",
        ),
        ("tls: { secretName: \"\" }", "tls.secretName: name a Secret"),
        (
            "tls: { certManager: { enabled: true, issuerRef: { name: ca } } }",
            "tls.certManager.dnsNames",
        ),
        (
            "tls: { certManager: { enabled: true, dnsNames: [a.example] } }",
            "tls.certManager.issuerRef",
        ),
        (
            "terminationGracePeriodSeconds: 29",
            "29 is less than drain.delaySeconds + drain.graceSeconds (30)",
        ),
        ("mode: sidecar", "applicationSelector: sidecar mode needs"),
    ] {
        let printed = fails(&mut helm.with(&["template", "release"], &chart(), &[DEPLOYMENT, values]));
        assert!(
            printed.contains(expected_text),
            "{values}: expected {expected_text:?} in\n{printed}"
        );
    }
}

/// The text that the real `helm` prints after an installation.
#[test]
fn the_helm_notes_warn_about_open_settings() {
    let helm = Helm::new();
    let notes = |values: &[&str]| {
        let dry = ["install", "release", "--dry-run=client", "--namespace", "shop"];
        let text = succeeds(&mut helm.with(&dry, &chart(), values), b"");
        text.split_once("NOTES:").unwrap().1.to_owned()
    };
    let open = notes(&[DEPLOYMENT]);
    assert!(open.contains("networkPolicy.application.selector is not set"), "{open}");
    assert!(open.contains("release-hookgate.shop.svc:443 (TLS)"), "{open}");
    assert!(!open.contains("WARNING"), "{open}");
    let closed = notes(&[
        FULL,
        "routes: [{ path: /a, provider: paddle, upstream: application, settings: { mode: report }, secrets: [{ secretName: a, key: b }] }]",
    ]);
    assert!(!closed.contains("is not set"), "{closed}");
    assert!(closed.contains("WARNING: /a is in report mode"), "{closed}");
}

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
        for key in [
            "image",
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
