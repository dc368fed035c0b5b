{{/* The container, the same in both modes. */}}
{{- define "hookgate.container" -}}
name: hookgate
image: {{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [serve]
env:
  - { name: HOOKGATE_CONFIG, value: /etc/hookgate/gateway/gateway.toml }
  {{- with .Values.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - name: webhooks
    containerPort: {{ .Values.listen.port }}
    protocol: TCP
  - name: hookgate-admin
    containerPort: {{ .Values.admin.port }}
    protocol: TCP
# This is not /readyz, because Kubernetes starts the application behind a native sidecar only after this probe has succeeded.
startupProbe:
  httpGet: { path: /livez, port: hookgate-admin }
  periodSeconds: 1
  failureThreshold: 30
readinessProbe:
  httpGet: { path: /readyz, port: hookgate-admin }
  periodSeconds: 5
  timeoutSeconds: 2
  failureThreshold: 2
livenessProbe:
  httpGet: { path: /livez, port: hookgate-admin }
  periodSeconds: 10
  timeoutSeconds: 2
  failureThreshold: 3
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  privileged: false
  capabilities: { drop: [ALL] }
  seccompProfile: { type: RuntimeDefault }
volumeMounts:
  - { name: hookgate-configuration, mountPath: /etc/hookgate/gateway, readOnly: true }
  {{- if .Values.tls.enabled }}
  - { name: hookgate-tls, mountPath: /etc/hookgate/tls, readOnly: true }
  {{- end }}
  {{- range (include "hookgate.secretNames" . | fromJsonArray) }}
  - { name: {{ printf "hookgate-secret-%s" . }}, mountPath: /etc/hookgate/secrets/{{ . }}, readOnly: true }
  {{- end }}
  {{- with .Values.volumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* The names of the Secrets that routes use, each once, as a JSON array. */}}
{{- define "hookgate.secretNames" -}}
{{- $names := list -}}
{{- range .Values.routes -}}
{{- range concat (default (list) .secrets) (default (list) .publicKeys) -}}
{{- $names = append $names .secretName -}}
{{- end -}}
{{- end -}}
{{- $names | uniq | sortAlpha | toJson -}}
{{- end -}}

{{/* Volumes for the container. They are whole directories without subPath, because only those follow a change of the Secret.
The files belong to root. hookgate's own pod reads them through its fsGroup. A sidecar cannot set the fsGroup of the
application's pod, so there every user may read the files; only this container mounts them. */}}
{{- define "hookgate.volumes" -}}
{{- $mode := ternary "0444" "0440" (eq .Values.mode "sidecar") -}}
- name: hookgate-configuration
  configMap: { name: {{ include "hookgate.fullname" . }} }
{{- if .Values.tls.enabled }}
- name: hookgate-tls
  secret: { secretName: {{ include "hookgate.tlsSecret" . }}, defaultMode: {{ $mode }} }
{{- end }}
{{- range (include "hookgate.secretNames" . | fromJsonArray) }}
- name: {{ printf "hookgate-secret-%s" . }}
  secret: { secretName: {{ . }}, defaultMode: {{ $mode }} }
{{- end }}
{{- with .Values.volumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Seconds from the start of the pod's termination to SIGKILL. A sidecar needs its time after the time of the application. */}}
{{- define "hookgate.gracePeriod" -}}
{{- $drain := add (int .Values.drain.delaySeconds) (int .Values.drain.graceSeconds) 5 -}}
{{- if eq .Values.mode "sidecar" -}}
{{- add $drain (int .Values.drain.delaySeconds) (int .Values.applicationStopSeconds) -}}
{{- else if kindIs "invalid" .Values.terminationGracePeriodSeconds -}}
{{- $drain -}}
{{- else if lt (int .Values.terminationGracePeriodSeconds) (int (sub $drain 5)) -}}
{{- fail (printf "terminationGracePeriodSeconds: %d is less than drain.delaySeconds + drain.graceSeconds (%d): requests would be cut off" (int .Values.terminationGracePeriodSeconds) (int (sub $drain 5))) -}}
{{- else -}}
{{- int .Values.terminationGracePeriodSeconds -}}
{{- end -}}
{{- end -}}
