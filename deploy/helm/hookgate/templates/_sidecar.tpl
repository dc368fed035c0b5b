{{/* Templates for an application's own chart that has this chart as a dependency with `mode: sidecar`. Each takes the scope of
the subchart: include "hookgate.sidecar" .Subcharts.hookgate

hookgate.sidecar      an item of the pod's initContainers
hookgate.volumes      items of the pod's volumes
hookgate.checksum     an annotation of the pod: a new configuration rolls the pods out
hookgate.preStop      `lifecycle` of the application's container
hookgate.gracePeriod  terminationGracePeriodSeconds of the pod */}}
{{- define "hookgate.sidecar" -}}
- {{ include "hookgate.container" . | nindent 2 | trim }}
  # A native sidecar: Kubernetes starts it before the application and stops it after the application.
  restartPolicy: Always
  # The kubelet runs this when the pod begins to end, long before hookgate's SIGTERM. From then on, if the application
  # has stopped, hookgate answers 503 with Retry-After.
  lifecycle:
    preStop:
      exec: { command: [/hookgate, stopping] }
{{- end -}}

{{/* The application continues to serve while endpoints are updated. The sleep action needs Kubernetes 1.30, but no shell in the image. */}}
{{- define "hookgate.preStop" -}}
preStop:
  sleep:
    seconds: {{ max 1 (int .Values.drain.delaySeconds) }}
{{- end -}}

{{- define "hookgate.checksum" -}}
checksum/hookgate: {{ include "hookgate.toml" . | sha256sum }}
{{- end -}}
