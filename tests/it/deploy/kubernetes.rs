//! The Helm chart, the chart of an application that includes it, and the kustomize base: rendered by the real tools
//! over a matrix of values and checked by schemas, by the real `hookgate check`, and by rules that no schema has.

use crate::support::apps::installed;
use crate::support::cluster::{Cluster, are_valid, find};
use crate::support::tools::{fails, repository, succeeds, tool, yaml};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// The minimal values of a Deployment.
pub(super) const DEPLOYMENT: &str = r#"
image: { repository: registry.example.com/hookgate }
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
replicaCount: 3
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
const VARIATIONS: [&str; 20] = [
    "",
    "tls: { enabled: false, secretName: '' }\nmonitor: { kind: PodMonitor }",
    "networkPolicy: { enabled: false }\npodDisruptionBudget: { enabled: false }\nservice: { enabled: false }",
    "networkPolicy: { monitoringFrom: [] }\nserviceAccount: { create: false }\nreplicaCount: 1",
    "drain: { delaySeconds: 0, graceSeconds: 1 }\nsettings: { workers: null, limits: null }\npodDisruptionBudget: { maxUnavailable: 50% }",
    "tls: { certManager: { enabled: true, issuerRef: { name: ca }, dnsNames: [a.example.com, b.example.com] } }\nmonitor: { kind: ServiceMonitor }",
    "prometheusRule: { enabled: true, labels: { release: prometheus }, runbookURL: \"https://docs.example.com/hookgate/\" }\nfullnameOverride: webhooks",
    "dashboard: { enabled: true, annotations: { grafana_folder: Webhooks } }",
    "ingress: { enabled: true, className: nginx, annotations: { nginx.ingress.kubernetes.io/backend-protocol: HTTPS }, hosts: [a.example.com, b.example.com], tls: [{ secretName: a, hosts: [a.example.com] }] }\nlisten: { trustedProxies: [10.0.0.0/8] }",
    "ingress: { enabled: true, pathType: ImplementationSpecific }\ntls: { enabled: false }",
    "gatewayAPI: { httpRoute: { enabled: true, parentRefs: [{ name: edge, namespace: gateways }], hostnames: [a.example.com] }, tlsRoute: { enabled: true, parentRefs: [{ name: edge }], hostnames: [b.example.com] } }",
    "autoscaling: { enabled: true, maxReplicas: 20, targetMemoryUtilizationPercentage: 80, behavior: { scaleDown: { stabilizationWindowSeconds: 600 } } }",
    "service: { type: LoadBalancer, loadBalancerClass: service.k8s.aws/nlb, loadBalancerSourceRanges: [192.0.2.0/24], externalTrafficPolicy: Local, internalTrafficPolicy: Cluster, ipFamilyPolicy: PreferDualStack, ipFamilies: [IPv4, IPv6], labels: { a: b } }",
    "service: { type: NodePort, nodePort: 30443 }\nadmin: { service: { enabled: true, annotations: { a: b } }, settings: { readiness: upstream, hosts: [gate.example.com] } }\ntests: { enabled: false }",
    "listen: { settings: { tls_minimum: \"1.3\", health: /healthz } }\nextraListeners: [{ name: mesh, address: \"0.0.0.0:8080\", plaintext: true, trusted_proxies: [10.0.0.0/8] }]",
    "hostAliases: [{ ip: 192.0.2.1, hostnames: [a.example.com] }]\ndnsPolicy: None\ndnsConfig: { nameservers: [192.0.2.2] }\nruntimeClassName: gvisor\nschedulerName: other\nminReadySeconds: 5\nrevisionHistoryLimit: 3\ndeploymentAnnotations: { a: b }\nreadinessProbe: { periodSeconds: 2 }",
    "initContainers: [{ name: first, image: registry.example.com/first }]\nextraContainers: [{ name: beside, image: registry.example.com/beside }]\nnetworkPolicy: { extraIngress: [{ ports: [{ port: 9999 }] }], egress: [{ ports: [{ port: 53, protocol: UDP }] }, { to: [{ podSelector: { matchLabels: { app: shop } } }] }] }\nextraObjects: [{ apiVersion: v1, kind: ConfigMap, metadata: { name: \"{{ .Release.Name }}-more\", namespace: \"{{ .Release.Namespace }}\" }, data: { a: b } }]",
    "routes: [{ path: /webhooks/paddle/*, provider: paddle, secrets: [{ secretName: github.example.com, key: secret, name: old, retired: true }, { secretName: github-example-com, key: secret }], upstream: [\"http://a:8000\", \"http://b:8000\"], settings: { tolerance: 10s, rate: 50/s, dedupe: { window: 7d } } }]\nsettings: { limits: { per_source: 100/s, in_flight_bytes: 64MiB }, log: { audit: refused } }",
    "tls: { acme: { enabled: true, existingClaim: certificates, settings: { domains: [hooks.example.com], contact: ops@example.com }, keys: [{ secretName: acme, key: storage }] } }",
    "tls: { acme: { enabled: true, settings: { domains: [hooks.example.com], storage: { redis: \"rediss://redis:6379\", password: { env: REDIS_PASSWORD } } }, keys: [{ secretName: acme, key: storage }] } }\nenv: [{ name: REDIS_PASSWORD, valueFrom: { secretKeyRef: { name: redis, key: password } } }]",
];

/// The values of `deploy/helm/examples`, each for a chart on its own.
const EXAMPLES: [&str; 4] = ["redis", "external-secrets", "oauth2-proxy", "vault-agent"];

/// helm, with a home directory of its own.
pub(super) struct Helm {
    home: TempDir,
}

impl Helm {
    pub(super) fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
        }
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tool("bin/helm");
        command.env_clear().env("HOME", self.home.path()).args(arguments);
        command
    }

    /// `helm ARGUMENTS CHART -f VALUES…`.
    pub(super) fn with(&self, arguments: &[&str], chart: &Path, values: &[&str]) -> Command {
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
    pub(super) fn cluster(&self, chart: &Path, values: &[&str]) -> Cluster {
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

pub(super) fn chart() -> std::path::PathBuf {
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
    let with = |kind: &str, expected: usize| {
        let found = counts(kind);
        (0..found.len()).filter(|at| found[*at] == expected).collect::<Vec<_>>()
    };
    // The last set of values is `FULL`.
    let last = VARIATIONS.len();
    assert_eq!(with("PodDisruptionBudget", 0), [2]);
    assert_eq!(with("NetworkPolicy", 0), [2]);
    assert_eq!(with("NetworkPolicy", 2), [last]);
    assert_eq!(with("Service", 1), [2], "the one for the admin port");
    assert_eq!(with("Pod", 0), [13], "the pod of `helm test`");
    assert_eq!(with("PodMonitor", 1), [1]);
    assert_eq!(with("ServiceMonitor", 1), [5, last]);
    assert_eq!(with("Certificate", 1), [5, last]);
    assert_eq!(with("ServiceAccount", 0), [3]);
    assert_eq!(with("PrometheusRule", 1), [6]);
    assert_eq!(with("Ingress", 1), [8, 9]);
    assert_eq!((with("HTTPRoute", 1), with("TLSRoute", 1)), (vec![10], vec![10]));
    assert_eq!(with("HorizontalPodAutoscaler", 1), [11]);
    assert_eq!(with("ConfigMap", 2), [7, 16]);
    assert!(
        clusters[11].only("Deployment")["spec"]["replicas"].is_null(),
        "the autoscaler sets it"
    );
    let rules = clusters[6].only("PrometheusRule").to_string();
    assert!(
        rules.contains(r#"up{job=~\"(.*/)?webhooks(-admin)?\"}"#) && !rules.contains("job=~\\\".*hookgate"),
        "{rules}"
    );
    assert!(
        rules.contains("https://docs.example.com/hookgate/docs/monitoring.md#hookgatedown"),
        "{rules}"
    );
    assert!(
        rules.contains("{{ $labels.instance }}"),
        "the templates of Prometheus stay"
    );

    let ordered = &clusters[18];
    let claim = &find(&ordered.pod()["volumes"], "hookgate-acme")["persistentVolumeClaim"]["claimName"];
    assert_eq!(claim, "certificates");
    assert!(
        !ordered.pod()["volumes"].to_string().contains("hookgate-tls"),
        "no Secret is needed"
    );
    let shared = &clusters[19];
    assert!(
        !shared.pod()["volumes"].to_string().contains("hookgate-acme"),
        "no volume is needed"
    );
    let gateway: toml::Table = shared.gateway_toml().parse().unwrap();
    let storage = &gateway["listen"][0]["tls"]["acme"]["storage"];
    assert_eq!(storage["redis"].as_str(), Some("rediss://redis:6379"));

    let full: toml::Table = clusters[last].gateway_toml().parse().unwrap();
    assert_eq!(full["replay"]["capacity"].as_integer(), Some(1_000_000), "not 1e+06");
    assert_eq!(full["listen"][0]["proxy_protocol"].as_bool(), Some(true));
    assert_eq!(clusters[last].pod()["terminationGracePeriodSeconds"], 90);
    let image = concat!("registry.example.com/hookgate:", env!("CARGO_PKG_VERSION"));
    assert_eq!(clusters[0].container()["image"], image, "appVersion in Chart.yaml");
    assert_eq!(clusters[0].pod()["terminationGracePeriodSeconds"], 35, "5 + 25 + 5");
    let application = clusters[last]
        .of("NetworkPolicy")
        .find(|policy| policy["spec"]["podSelector"]["matchLabels"]["app"] == "application");
    let rules = application.unwrap()["spec"]["ingress"].as_array().unwrap().clone();
    assert_eq!(rules[0]["ports"][0]["port"], 8000);
    assert_eq!(
        rules[0]["from"][0]["podSelector"]["matchLabels"],
        clusters[last].only("Deployment")["spec"]["selector"]["matchLabels"],
        "the application's port is open to the gateway alone"
    );
    let certificate = &clusters[last].only("Certificate")["spec"]["secretName"];
    assert_eq!(
        *certificate,
        find(&clusters[last].pod()["volumes"], "hookgate-tls")["secret"]["secretName"]
    );
}

/// The examples render resources that Kubernetes and the operators accept, and configurations that hookgate accepts.
#[test]
fn the_examples_of_values_are_valid() {
    let helm = Helm::new();
    let read = |name: &str| std::fs::read_to_string(repository(&format!("deploy/helm/examples/{name}.yaml"))).unwrap();
    let image = "image: { repository: registry.example.com/hookgate }";
    let mut clusters: Vec<Cluster> = EXAMPLES
        .iter()
        .map(|name| helm.cluster(&chart(), &[&read(name), image]))
        .collect();
    let application = yaml(&read("argocd"));
    let values = application[0]["spec"]["source"]["helm"]["valuesObject"].to_string();
    clusters.push(helm.cluster(&chart(), &[&values]));
    for cluster in &clusters {
        cluster.holds();
    }
    clusters.push(Cluster { resources: application });
    are_valid(&clusters);
}

/// The chart's schema knows every key of gateway.toml, and its README lists every value.
#[test]
fn generated_files_of_the_chart_are_up_to_date() {
    succeeds(
        Command::new("python3")
            .arg(repository("deploy/helm/schema.py"))
            .arg("--check"),
        b"",
    );
    let place = tempfile::tempdir().unwrap();
    let readme = place.path().join("README.md");
    std::fs::copy(chart().join("README.md"), &readme).unwrap();
    let generator = installed("deploy/node/node_modules/@bitnami/readme-generator-for-helm/bin/index.js");
    let values = chart().join("values.yaml");
    succeeds(
        Command::new("node")
            .arg(generator)
            .arg("-v")
            .arg(values)
            .arg("-r")
            .arg(&readme),
        b"",
    );
    let is_new = std::fs::read(&readme).unwrap() == std::fs::read(chart().join("README.md")).unwrap();
    assert!(
        is_new,
        "run readme-generator -v values.yaml -r README.md in deploy/helm/hookgate"
    );
}

/// Values that would not work are refused before anything is rendered, and the message says what to write.
#[test]
fn bad_values_are_refused() {
    let helm = Helm::new();
    for (values, expected_text) in [
        ("replcas: 2", "'replcas' not allowed"),
        ("image: { repository: \"\" }", "image.repository: no image is published"),
        ("replicaCount: two", "/replicaCount"),
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
        ("settings: { route: [] }", "'route' not allowed"),
        ("settings: { limit: { connections: 5 } }", "'limit' not allowed"),
        ("settings: { limits: { conections: 5 } }", "/settings/limits"),
        (
            "settings: { limits: { head_timeout: 5 } }",
            "/settings/limits/head_timeout",
        ),
        ("settings: { log: { audit: everything } }", "/settings/log/audit"),
        ("upstreams: { a: { url: \"http://a\", time_out: 5s } }", "/upstreams/a"),
        (
            "gatewayAPI: { httpRoute: { enabled: true } }",
            "gatewayAPI.httpRoute.parentRefs",
        ),
        ("settings: { listen: {} }", "'listen' not allowed"),
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
            "tls: { acme: { enabled: true, settings: { domains: [a.example] } } }",
            "tls.acme.existingClaim",
        ),
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

/// Values with an inbox, which needs a named route.
const INBOX: &str = r#"
routes:
  - { name: paddle, path: /webhooks/paddle, provider: paddle, secrets: [{ secretName: paddle, key: secret }], upstream: "http://application:8000", settings: { delivery: failover } }
inbox: { enabled: true, size: 5Gi, storageClassName: fast, keys: [{ secretName: inbox, key: current }] }
settings: { inbox: { max_items: 1000 } }
"#;

/// An inbox makes the Deployment a StatefulSet with a volume for each pod. It is refused where it would be lost with the pod.
#[test]
fn an_inbox_has_a_volume_of_its_own_for_each_pod() {
    let helm = Helm::new();
    let cluster = helm.cluster(&chart(), &[DEPLOYMENT, INBOX]);
    assert_eq!(cluster.of("Deployment").count(), 0);
    let set = cluster.only("StatefulSet");
    let claim = &set["spec"]["volumeClaimTemplates"][0];
    assert_eq!(claim["spec"]["accessModes"], serde_json::json!(["ReadWriteOncePod"]));
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "5Gi");
    let container = &set["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(
        find(&container["volumeMounts"], "inbox")["mountPath"],
        "/var/lib/hookgate"
    );
    let names: Vec<_> = cluster
        .of("Service")
        .map(|service| service["metadata"]["name"].clone())
        .collect();
    assert!(names.contains(&set["spec"]["serviceName"]), "{names:?}");
    let written: toml::Table = cluster.gateway_toml().parse().unwrap();
    assert_eq!(written["inbox"]["store"].as_str(), Some("/var/lib/hookgate/inbox.db"));
    assert_eq!(written["inbox"]["max_items"].as_integer(), Some(1_000));
    let key = written["inbox"]["keys"][0]["file"].as_str().unwrap();
    assert_eq!(key, "/etc/hookgate/secrets/inbox/current");
    are_valid(&[cluster]);
    for (more, expected) in [
        ("inbox: { enabled: false }", "lost with the pod; set inbox.enabled"),
        (
            "mode: sidecar\napplicationSelector: { app: a }",
            "a sidecar of a Deployment does not have",
        ),
    ] {
        let refused = fails(&mut helm.with(&["template", "release"], &chart(), &[DEPLOYMENT, INBOX, more]));
        assert!(refused.contains(expected), "{refused}");
    }
}
