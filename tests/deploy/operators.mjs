// Validates resources of operators (Prometheus, cert-manager, Gateway API, External Secrets, Argo CD; a JSON array on standard input) with the schemas of
// their custom resource definitions, which are compiled validators in node_modules of the working directory. Prints the
// number of resources; exits with 1 and every fault. The validators accept unknown fields, as the definitions do, but they
// never read them: a field that no validator has read is a fault here.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const load = (path) => import(pathToFileURL(`${process.cwd()}/node_modules/@kubernetes-models/${path}`));
const operator = "prometheus-operator/_schemas/ComGithubPrometheusOperatorPrometheusOperatorPkgApisMonitoringV1";
const kinds = {
  "monitoring.coreos.com/v1/PodMonitor": await load(`${operator}PodMonitor.js`),
  "monitoring.coreos.com/v1/ServiceMonitor": await load(`${operator}ServiceMonitor.js`),
  "monitoring.coreos.com/v1/PrometheusRule": await load(`${operator}PrometheusRule.js`),
  "gateway.networking.k8s.io/v1/HTTPRoute": await load("gateway-api/_schemas/IoK8sSigsGatewayApiApisV1HTTPRoute.js"),
  "gateway.networking.k8s.io/v1/TLSRoute": await load("gateway-api/_schemas/IoK8sSigsGatewayApiApisV1TLSRoute.js"),
  "gateway.networking.k8s.io/v1alpha2/TLSRoute": await load("gateway-api/_schemas/IoK8sSigsGatewayApiApisV1alpha2TLSRoute.js"),
  "external-secrets.io/v1/ExternalSecret": await load(
    "external-secrets/_schemas/ComGithubExternalSecretsExternalSecretsApisExternalsecretsV1ExternalSecret.js"),
  "argoproj.io/v1alpha1/Application": await load(
    "argo-cd/_schemas/ComGithubArgoprojArgoCdV3PkgApisApplicationV1alpha1Application.js"),
  "cert-manager.io/v1/Certificate": await load("cert-manager/_schemas/CertManagerIoV1Certificate.mjs"),
};

function watched(value, path, unread) {
  if (value === null || typeof value !== "object") return value;
  const copy = Array.isArray(value) ? [] : {};
  for (const [key, inner] of Object.entries(value)) {
    unread.add(`${path}.${key}`);
    copy[key] = watched(inner, `${path}.${key}`, unread);
  }
  return new Proxy(copy, {
    get(target, key) {
      if (typeof key === "string") unread.delete(`${path}.${key}`);
      return target[key];
    },
  });
}

const resources = JSON.parse(readFileSync(0, "utf8"));
const faults = [];
for (const resource of resources) {
  const kind = `${resource.apiVersion}/${resource.kind}`;
  const unread = new Set();
  const validate = kinds[kind]?.validate;
  const fault = (problem) => faults.push(`${kind} ${resource.metadata?.name}: ${problem}`);
  if (!validate) {
    fault("is not known here");
  } else if (!validate(watched(resource, "", unread))) {
    validate.errors.forEach((error) => fault(`${error.instancePath} ${error.keyword} ${JSON.stringify(error.params)}`));
    // The values of a chart, which the definition does not know.
  } else if ([...unread].some((path) => !path.includes(".valuesObject."))) {
    fault(`no such field: ${[...unread].join(", ")}`);
  }
}
if (faults.length > 0) {
  console.error(faults.join("\n"));
  process.exit(1);
}
console.log(resources.length);
