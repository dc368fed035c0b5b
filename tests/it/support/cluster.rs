//! Rules for any resources that deploy hookgate into a cluster, whatever tool rendered them; schemas do not contain
//! these rules.

use super::certificates::Certificate;
use super::gateway::binary;
use super::tools::{repository, run, succeeds, tool};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// API groups of operators, whose schemas are those of their definitions.
const OPERATORS: [&str; 5] = [
    "monitoring.coreos.com/",
    "cert-manager.io/",
    "gateway.networking.k8s.io/",
    "external-secrets.io/",
    "argoproj.io/",
];

/// Where the pod mounts the files that hookgate reads.
const MOUNTED: &str = "/etc/hookgate/";
/// Where the agent of Vault writes files.
const INJECTED: &str = "/vault/secrets/";

/// The resources of one application.
pub(crate) struct Cluster {
    pub(crate) resources: Vec<Value>,
}

impl Cluster {
    /// The only resource of this kind.
    #[track_caller]
    pub(crate) fn only<'a>(&'a self, kind: &'a str) -> &'a Value {
        let found: Vec<&Value> = self.of(kind).collect();
        assert_eq!(found.len(), 1, "{kind}: {found:#?}");
        found[0]
    }

    pub(crate) fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.resources.iter().filter(move |resource| resource["kind"] == kind)
    }

    /// The pod's specification.
    pub(crate) fn pod(&self) -> &Value {
        let workload = self.of("StatefulSet").next();
        &workload.unwrap_or_else(|| self.only("Deployment"))["spec"]["template"]["spec"]
    }

    /// hookgate's container: the pod's only one, or its native sidecar.
    pub(crate) fn container(&self) -> &Value {
        let pod = self.pod();
        let find = |list: &'static str| {
            let containers = pod[list].as_array().into_iter().flatten();
            containers
                .filter(|container| container["name"] == "hookgate")
                .collect::<Vec<_>>()
        };
        let found = [find("containers"), find("initContainers")].concat();
        assert_eq!(found.len(), 1, "{pod:#}");
        found[0]
    }

    /// The gateway.toml that the pod mounts.
    pub(crate) fn gateway_toml(&self) -> &str {
        let volume = find(&self.pod()["volumes"], "hookgate-configuration");
        let name = &volume["configMap"]["name"];
        let map = self.of("ConfigMap").find(|map| map["metadata"]["name"] == *name);
        map.unwrap()["data"]["gateway.toml"].as_str().unwrap()
    }

    /// Checks all rules.
    #[track_caller]
    pub(crate) fn holds(&self) {
        self.is_confined();
        let configuration: toml::Table = self.gateway_toml().parse().unwrap();
        self.ports_agree(&configuration);
        self.ends_in_time(&configuration);
        self.selects_its_pods();
        self.is_accepted();
    }

    fn is_confined(&self) {
        let container = self.container();
        let expected = json!({
            "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "readOnlyRootFilesystem": true,
            "allowPrivilegeEscalation": false, "privileged": false,
            "capabilities": { "drop": ["ALL"] }, "seccompProfile": { "type": "RuntimeDefault" },
        });
        assert_eq!(container["securityContext"], expected);
        assert!(container["resources"]["requests"]["cpu"].is_string(), "{container:#}");
        assert!(container["resources"]["limits"]["memory"].is_string(), "{container:#}");
        for mount in container["volumeMounts"].as_array().unwrap() {
            let volume = find(&self.pod()["volumes"], mount["name"].as_str().unwrap());
            // A file mounted by subPath never follows a change.
            assert!(mount["subPath"].is_null());
            // The files belong to root: they are read through the pod's group, or by everyone who mounts them.
            let grouped = self.pod()["securityContext"]["fsGroup"] == 65532;
            let mode = if grouped { 0o440 } else { 0o444 };
            assert!(
                volume["secret"].is_null() || volume["secret"]["defaultMode"] == mode,
                "{volume:#}"
            );
            assert!(mount["readOnly"] == true || !mount["mountPath"].as_str().unwrap().starts_with(MOUNTED));
        }
    }

    fn ports_agree(&self, configuration: &toml::Table) {
        let port = |table: &str| {
            let table = &configuration[table];
            // A list of listeners: the first is the one that the Service leads to.
            let table = table.as_array().map_or(table, |listeners| &listeners[0]);
            let address = table["address"].as_str().unwrap();
            address.rsplit_once(':').unwrap().1.parse::<u16>().unwrap()
        };
        let (webhooks, admin) = (port("listen"), port("admin"));
        let container = self.container();
        assert_eq!(find(&container["ports"], "webhooks")["containerPort"], webhooks);
        assert_eq!(find(&container["ports"], "hookgate-admin")["containerPort"], admin);
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            assert_eq!(container[probe]["httpGet"]["port"], "hookgate-admin");
        }
        for service in self.of("Service") {
            let port = &service["spec"]["ports"][0];
            // The port of the console is named, and so is that of a container beside hookgate.
            if let Some(name) = port["targetPort"].as_str() {
                let containers = self.pod()["containers"].as_array().unwrap();
                let mut ports = containers
                    .iter()
                    .flat_map(|one| one["ports"].as_array().into_iter().flatten());
                let found = ports.find(|port| port["name"] == name);
                let number = &found.unwrap_or_else(|| panic!("{service:#}"))["containerPort"];
                let console = configuration.get("console").and_then(|table| table["address"].as_str());
                let is_console = console.is_some_and(|address| address.ends_with(&format!(":{number}")));
                assert!(name != "console" || is_console, "{service:#}");
                continue;
            }
            let expected = if port["name"] == "metrics" { admin } else { webhooks };
            assert_eq!(port["targetPort"], expected, "{service:#}");
        }
    }

    /// The kubelet does not kill the pod before the longest possible drain has ended.
    fn ends_in_time(&self, configuration: &toml::Table) {
        let seconds = |key: &str| {
            let text = configuration["drain"][key].as_str().unwrap();
            text.strip_suffix('s').unwrap().parse::<u64>().unwrap()
        };
        let given = self.pod()["terminationGracePeriodSeconds"].as_u64().unwrap();
        let drain = seconds("delay") + seconds("grace");
        assert!(given > drain, "{given} s for a drain of {drain} s");
    }

    /// Every selector matches pods of this Deployment, and none matches every pod of the namespace.
    fn selects_its_pods(&self) {
        let deployment = &self.only("Deployment")["spec"];
        let labels = deployment["template"]["metadata"]["labels"].as_object().unwrap();
        let picks = |selector: &Value| {
            let selector = selector.as_object().unwrap();
            assert!(!selector.is_empty(), "an empty selector matches every pod");
            selector.iter().all(|(key, value)| labels.get(key) == Some(value))
        };
        assert!(picks(&deployment["selector"]["matchLabels"]));
        for service in self.of("Service") {
            assert!(picks(&service["spec"]["selector"]), "{service:#}");
        }
        for budget in self.of("PodDisruptionBudget") {
            assert!(picks(&budget["spec"]["selector"]["matchLabels"]), "{budget:#}");
        }
        for monitor in self.of("PodMonitor") {
            assert!(picks(&monitor["spec"]["selector"]["matchLabels"]), "{monitor:#}");
        }
        for monitor in self.of("ServiceMonitor") {
            let wanted = monitor["spec"]["selector"]["matchLabels"].as_object().unwrap();
            let matching = self.of("Service").filter(|service| {
                let labels = &service["metadata"]["labels"];
                wanted.iter().all(|(key, value)| labels[key] == *value)
            });
            assert_eq!(
                matching.count(),
                1,
                "it matches the Service for metrics and no other: {monitor:#}"
            );
        }
        let policies = self.of("NetworkPolicy");
        let ours = policies.filter(|policy| picks(&policy["spec"]["podSelector"]["matchLabels"]));
        assert!(ours.count() <= 1);
    }

    /// The real `hookgate check` accepts the configuration, with the files where the pod mounts them.
    fn is_accepted(&self) {
        let place = tempfile::tempdir().unwrap();
        // The files of an agent that the chart does not mount.
        let text = self.gateway_toml().replace(INJECTED, &format!("{MOUNTED}injected/"));
        for path in text.split('"').filter(|word| word.starts_with(MOUNTED)) {
            let is_injected = path.starts_with(&format!("{MOUNTED}injected/"));
            assert!(is_injected || self.mounts(path), "{path} is not mounted");
            let file = place.path().join(path.strip_prefix(MOUNTED).unwrap());
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, format!("pdl_ntfset_01hookgate_{path}")).unwrap();
        }
        for (folder, name) in [("tls", "tls"), ("redis-ca", "ca")] {
            if place.path().join(folder).exists() {
                Certificate::new(&["localhost"]).write(&place.path().join(folder), name);
            }
        }
        let storage = place.path().join("acme-storage");
        std::fs::create_dir(&storage).unwrap();
        let text = text.replace("/var/lib/hookgate-acme", storage.to_str().unwrap());
        let file = place.path().join("gateway.toml");
        let here = format!("{}/", place.path().display());
        std::fs::write(&file, text.replace(MOUNTED, &here)).unwrap();
        let mut command = binary();
        command.arg("check").arg("--config").arg(&file);
        // The arguments that the pod sets, except for the path of the file.
        let variables = self.container()["env"].as_array().into_iter().flatten();
        for variable in variables.filter(|variable| variable["name"] != "HOOKGATE_CONFIG") {
            let value = variable["value"].as_str().unwrap_or("a value from a Secret");
            command.env(variable["name"].as_str().unwrap(), value);
        }
        let output = run(&mut command, b"");
        assert!(output.status.success(), "{text}\n{output:?}");
    }

    fn mounts(&self, path: &str) -> bool {
        let mounts = self.container()["volumeMounts"].as_array().unwrap();
        mounts
            .iter()
            .any(|mount| Path::new(path).starts_with(mount["mountPath"].as_str().unwrap()))
    }
}

/// The item of a list with this name.
#[track_caller]
pub(crate) fn find<'a>(list: &'a Value, name: &str) -> &'a Value {
    let found = list.as_array().unwrap().iter().find(|item| item["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {list:#}"))
}

/// Validates resources with Kubernetes' own schemas, of the oldest release that the chart supports and the newest known
/// one, and those of operators with their definitions; an unknown field is a fault.
#[track_caller]
pub(crate) fn are_valid(clusters: &[Cluster]) {
    let place = tempfile::tempdir().unwrap();
    let (operators, core): (Vec<&Value>, Vec<&Value>) = clusters
        .iter()
        .flat_map(|cluster| &cluster.resources)
        .partition(|resource| {
            let version = resource["apiVersion"].as_str().unwrap();
            OPERATORS.iter().any(|group| version.starts_with(group))
        });
    let mut files = Vec::new();
    // Resources that several sets of values have in common are validated once; JSON is YAML.
    let core: BTreeSet<String> = core.iter().map(ToString::to_string).collect();
    for (at, resource) in core.iter().enumerate() {
        let file = place.path().join(format!("{at}.yaml"));
        std::fs::write(&file, resource).unwrap();
        files.push(file);
    }
    assert!(!files.is_empty());
    for version in ["1.30", "1.37"] {
        let mut validate = tool("venv/bin/kubernetes-validate");
        validate.args(["--strict", "-k", version]).args(&files);
        let output = run(&mut validate, b"");
        let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success(), "{printed}");
        assert_eq!(printed.matches("passed for resource").count(), files.len(), "{printed}");
    }
    if !operators.is_empty() {
        let mut validator = std::process::Command::new("node");
        validator.arg(repository("tests/deploy/operators.mjs"));
        validator.current_dir(super::apps::installed("deploy/node"));
        let validated = succeeds(&mut validator, serde_json::to_string(&operators).unwrap().as_bytes());
        assert_eq!(validated.trim(), operators.len().to_string());
    }
}
