{{/* For an application's own chart, which has this one as a dependency with `mode: sidecar`. All take the scope of the
subchart: include "hookgate.sidecar" .Subcharts.hookgate

hookgate.sidecar      an item of the pod's initContainers
hookgate.volumes      items of the pod's volumes
hookgate.checksum     an annotation of the pod: a new configuration rolls the pods out
hookgate.preStop      `lifecycle` of the application's container
hookgate.gracePeriod  terminationGracePeriodSeconds of the pod */}}
{{- define "hookgate.sidecar" -}}
- {{ include "hookgate.container" . | nindent 2 | trim }}
  # A native sidecar: started before the application, stopped after it.
  restartPolicy: Always
  # The kubelet asks this when the pod begins to end, long before our SIGTERM: from then on an application that is gone is
  # answered for with 503 and Retry-After.
  lifecycle:
    preStop:
      httpGet: { path: /stopping, port: hookgate-admin }
{{- end -}}

{{/* The application goes on serving while endpoints are updated; sleep as an action needs Kubernetes 1.30 and no shell. */}}
{{- define "hookgate.preStop" -}}
preStop:
  sleep:
    seconds: {{ max 1 (int .Values.drain.delaySeconds) }}
{{- end -}}

{{- define "hookgate.checksum" -}}
checksum/hookgate: {{ include "hookgate.toml" . | sha256sum }}
{{- end -}}
