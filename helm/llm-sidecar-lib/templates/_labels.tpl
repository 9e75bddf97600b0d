{{- /* Of the pod: monitors find it by the first; the webhook, where there is one, leaves it alone by the second. */ -}}
{{- define "llm-sidecar-lib.labels" -}}
llm-sidecar.dev/injected: "true"
llm-sidecar.dev/inject: "false"
{{- end }}

{{- /* Of the pod, for a Prometheus without the operator that looks for these. */ -}}
{{- define "llm-sidecar-lib.annotations" -}}
{{- $profile := include "llm-sidecar-lib.profile" . | fromYaml -}}
prometheus.io/scrape: "true"
prometheus.io/port: {{ int $profile.adminPort | quote }}
prometheus.io/path: "/metrics"
{{- end }}
