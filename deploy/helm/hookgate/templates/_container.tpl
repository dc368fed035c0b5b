{{/* The image reference. There is no default, because no image is published. */}}
{{- define "hookgate.image" -}}
{{- $repository := required "image.repository: no image is published; build one (deploy/container), push it to your registry and write its name" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{ $repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ $repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* The fields of a probe, with those of the values in front. */}}
{{- define "hookgate.probe" -}}
{{- toYaml (merge (deepCopy .values) .defaults) -}}
{{- end -}}

{{/* The name of the volume of a Secret. Names of volumes have no dots and at most 63 characters. */}}
{{- define "hookgate.secretVolume" -}}
{{- if or (contains "." .) (gt (len .) 46) -}}
hookgate-secret-{{ . | replace "." "-" | trunc 36 | trimSuffix "-" }}-{{ sha256sum . | trunc 8 }}
{{- else -}}
hookgate-secret-{{ . }}
{{- end -}}
{{- end -}}

{{/* The container, the same in both modes. */}}
{{- define "hookgate.container" -}}
name: hookgate
image: {{ include "hookgate.image" . }}
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
  {{- if .Values.console.enabled }}
  - name: console
    containerPort: {{ .Values.console.port }}
    protocol: TCP
  {{- end }}
  {{- range $at, $listener := .Values.extraListeners }}
  - name: listener-{{ $at }}
    containerPort: {{ regexFind "[0-9]+$" $listener.address }}
    protocol: TCP
  {{- end }}
# This is not /readyz, because Kubernetes starts the application behind a native sidecar only after this probe has succeeded.
startupProbe:
  {{- $livez := dict "path" "/livez" "port" "hookgate-admin" }}
  {{- $readyz := dict "path" "/readyz" "port" "hookgate-admin" }}
  {{- include "hookgate.probe" (dict "values" .Values.startupProbe "defaults" (dict "httpGet" $livez "periodSeconds" 1 "failureThreshold" 30)) | nindent 2 }}
readinessProbe:
  {{- include "hookgate.probe" (dict "values" .Values.readinessProbe "defaults" (dict "httpGet" $readyz "periodSeconds" 5 "timeoutSeconds" 2 "failureThreshold" 2)) | nindent 2 }}
livenessProbe:
  {{- include "hookgate.probe" (dict "values" .Values.livenessProbe "defaults" (dict "httpGet" $livez "periodSeconds" 10 "timeoutSeconds" 2 "failureThreshold" 3)) | nindent 2 }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
volumeMounts:
  - { name: hookgate-configuration, mountPath: /etc/hookgate/gateway, readOnly: true }
  {{- if and .Values.tls.enabled .Values.tls.acme.enabled }}
  {{- if not .Values.tls.acme.settings.storage }}
  - { name: hookgate-acme, mountPath: /var/lib/hookgate-acme }
  {{- end }}
  {{- else if .Values.tls.enabled }}
  - { name: hookgate-tls, mountPath: /etc/hookgate/tls, readOnly: true }
  {{- end }}
  {{- range (include "hookgate.secretNames" . | fromJsonArray) }}
  - { name: {{ include "hookgate.secretVolume" . }}, mountPath: /etc/hookgate/secrets/{{ . }}, readOnly: true }
  {{- end }}
  {{- if .Values.inbox.enabled }}
  - { name: inbox, mountPath: /var/lib/hookgate }
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
{{- if .secretName }}{{ $names = append $names .secretName }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if .Values.inbox.enabled -}}
{{- range .Values.inbox.keys -}}
{{- $names = append $names .secretName -}}
{{- end -}}
{{- end -}}
{{- if and .Values.tls.enabled .Values.tls.acme.enabled -}}
{{- range .Values.tls.acme.keys -}}
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
{{- if and .Values.tls.enabled .Values.tls.acme.enabled }}
{{- if not .Values.tls.acme.settings.storage }}
- name: hookgate-acme
  persistentVolumeClaim: { claimName: {{ required "tls.acme.existingClaim: a volume that all pods share (ReadWriteMany), or that of the only pod; or name a Redis in tls.acme.settings.storage" .Values.tls.acme.existingClaim }} }
{{- end }}
{{- else if .Values.tls.enabled }}
- name: hookgate-tls
  secret: { secretName: {{ include "hookgate.tlsSecret" . }}, defaultMode: {{ $mode }} }
{{- end }}
{{- range (include "hookgate.secretNames" . | fromJsonArray) }}
- name: {{ include "hookgate.secretVolume" . }}
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
