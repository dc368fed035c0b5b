{{/* A value as TOML. Helm's own toToml writes whole numbers as floats, which hookgate refuses. */}}
{{- define "hookgate.toml.value" -}}
{{- if kindIs "map" . -}}
{ {{- $rest := false -}}
{{- range $key, $value := . }}{{ if $rest }},{{ end }} {{ $key | toJson }} = {{ include "hookgate.toml.value" $value }}{{ $rest = true }}{{ end }} }
{{- else if kindIs "slice" . -}}
[{{- $rest := false -}}
{{- range . }}{{ if $rest }}, {{ end }}{{ include "hookgate.toml.value" . }}{{ $rest = true }}{{ end -}}]
{{- else if kindIs "float64" . -}}
{{- if eq . (floor .) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- else if kindIs "string" . -}}
{{- . | toJson -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{/* The entries of a table, one per line. */}}
{{- define "hookgate.toml.entries" -}}
{{- range $key, $value := . }}
{{ $key | toJson }} = {{ include "hookgate.toml.value" $value }}
{{- end -}}
{{- end -}}

{{/* Keys of Kubernetes Secrets, written as the files that hookgate.volumes mounts. */}}
{{- define "hookgate.toml.files" -}}
{{- $files := list -}}
{{- range . -}}
{{- $path := .file -}}
{{- if .secretName }}{{ $path = printf "/etc/hookgate/secrets/%s/%s" .secretName .key }}{{ end -}}
{{- $file := dict "file" $path -}}
{{- with .name }}{{ $_ := set $file "name" . }}{{ end -}}
{{- with .retired }}{{ $_ := set $file "retired" . }}{{ end -}}
{{- $files = append $files $file -}}
{{- end -}}
{{- include "hookgate.toml.value" $files -}}
{{- end -}}

{{- define "hookgate.toml" -}}
{{- range $key, $value := .Values.settings }}
{{- if not (kindIs "map" $value) }}
{{ $key }} = {{ include "hookgate.toml.value" $value }}
{{- end }}
{{- end }}

[[listen]]
name = "webhooks"
address = {{ printf "%s:%d" .Values.listen.address (int .Values.listen.port) | toJson }}
{{- if .Values.tls.enabled }}
{{- if .Values.tls.acme.enabled }}
{{- $acme := merge (omit .Values.tls.acme.settings "keys") (dict "storage" "/var/lib/hookgate-acme") }}
{{- with .Values.tls.acme.keys }}
{{- $files := list }}
{{- range . }}{{ $files = append $files (dict "file" (printf "/etc/hookgate/secrets/%s/%s" .secretName .key)) }}{{ end }}
{{- $acme = merge (dict "keys" $files) $acme }}
{{- end }}
tls = { acme = {{ include "hookgate.toml.value" $acme }} }
{{- else }}
tls = { certificate = "/etc/hookgate/tls/tls.crt", key = "/etc/hookgate/tls/tls.key" }
{{- end }}
{{- else }}
plaintext = true
{{- end }}
{{- with .Values.listen.trustedProxies }}
trusted_proxies = {{ include "hookgate.toml.value" . }}
{{- end }}
{{- if .Values.listen.proxyProtocol }}
proxy_protocol = true
{{- end }}
{{- include "hookgate.toml.entries" .Values.listen.settings }}
{{- range .Values.extraListeners }}

[[listen]]
{{- include "hookgate.toml.entries" . }}
{{- end }}

[admin]
address = {{ printf "%s:%d" .Values.listen.address (int .Values.admin.port) | toJson }}
{{- include "hookgate.toml.entries" .Values.admin.settings }}
{{- if .Values.console.enabled }}

[console]
address = {{ printf "%s:%d" .Values.listen.address (int .Values.console.port) | toJson }}
{{- include "hookgate.toml.entries" .Values.console.settings }}
{{- end }}

[drain]
delay = "{{ int .Values.drain.delaySeconds }}s"
grace = "{{ int .Values.drain.graceSeconds }}s"
{{- if and .Values.inbox.enabled (ne .Values.mode "deployment") }}
{{- fail "inbox.enabled: an inbox needs a volume of its own for each pod, which a sidecar of a Deployment does not have; use mode: deployment" }}
{{- end }}
{{- if and (hasKey .Values.settings "inbox") (not .Values.inbox.enabled) }}
{{- fail "settings.inbox: without inbox.enabled the store would be on the pod's own file system and lost with the pod; set inbox.enabled: true" }}
{{- end }}
{{- if .Values.inbox.enabled }}
{{- $inbox := omit (default (dict) .Values.settings.inbox) "store" "keys" }}

[inbox]
store = "/var/lib/hookgate/inbox.db"
{{- with .Values.inbox.keys }}
keys = {{ include "hookgate.toml.files" . }}
{{- end }}
{{- include "hookgate.toml.entries" $inbox }}
{{- end }}
{{- range $key, $value := omit .Values.settings "inbox" }}
{{- if kindIs "map" $value }}

[{{ $key }}]
{{- include "hookgate.toml.entries" $value }}
{{- end }}
{{- end }}
{{- if not .Values.routes }}{{ fail "routes: at least one is needed" }}{{ end }}
{{- range .Values.routes }}

[[route]]
{{- with .name }}
name = {{ . | toJson }}
{{- end }}
path = {{ .path | toJson }}
provider = {{ .provider | toJson }}
{{- with .secrets }}
secrets = {{ include "hookgate.toml.files" . }}
{{- end }}
{{- with .publicKeys }}
public_keys = {{ include "hookgate.toml.files" . }}
{{- end }}
upstream = {{ include "hookgate.toml.value" .upstream }}
{{- include "hookgate.toml.entries" .settings }}
{{- end }}
{{- range $name, $upstream := .Values.upstreams }}

[upstreams.{{ $name | toJson }}]
{{- include "hookgate.toml.entries" $upstream }}
{{- end }}
{{- end -}}
