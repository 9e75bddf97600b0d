{{- /* (list context name labels): scrapes the sidecars of the release's namespace that carry these labels. */ -}}
{{- define "llm-sidecar-lib.podMonitor" -}}
{{- $context := index . 0 -}}
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  name: {{ index . 1 | quote }}
  namespace: {{ $context.Release.Namespace | quote }}
  labels:
    {{- toYaml (index . 2) | nindent 4 }}
spec:
  selector:
    matchLabels:
      {{- toYaml (index . 2) | nindent 6 }}
      llm-sidecar.dev/injected: "true"
  podMetricsEndpoints:
    - port: llm-metrics
      relabelings:
        {{- include "llm-sidecar-lib.relabelings" (dict "appLabels" (list "app.kubernetes.io/name" "app") "teamLabels" (list "team")) | nindent 8 }}
{{- end }}
