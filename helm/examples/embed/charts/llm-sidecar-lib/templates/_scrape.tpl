{{- /*
How the labels of a pod become those of its series. The rules and boards need job, namespace, app, pod and
instance; job is fixed, since the same rules look at every sidecar. The last line that matches wins, so what
names an application best stands last.
*/ -}}
{{- define "llm-sidecar-lib.relabelings" -}}
- targetLabel: job
  replacement: llm-sidecar
- sourceLabels: [__meta_kubernetes_pod_name]
  targetLabel: app
- sourceLabels: [__meta_kubernetes_pod_controller_name]
  regex: (.+)
  targetLabel: app
- sourceLabels: [__meta_kubernetes_pod_controller_kind, __meta_kubernetes_pod_controller_name]
  regex: ReplicaSet;(.+)-[^-]+
  targetLabel: app
- sourceLabels: [__meta_kubernetes_pod_controller_kind, __meta_kubernetes_pod_controller_name]
  regex: Job;(.+)-[0-9]{8,10}
  targetLabel: app
{{- range reverse .appLabels }}
- sourceLabels: [{{ include "llm-sidecar-lib.meta" . }}]
  regex: (.+)
  targetLabel: app
{{- end }}
{{- range reverse .teamLabels }}
- sourceLabels: [{{ include "llm-sidecar-lib.meta" . }}]
  regex: (.+)
  targetLabel: team
{{- end }}
{{- end }}

{{- define "llm-sidecar-lib.meta" -}}
__meta_kubernetes_pod_label_{{ regexReplaceAll "[^a-zA-Z0-9_]" . "_" }}
{{- end }}

{{- /* (list into given): what is given wins, null takes a key away. Mergo would keep what null should remove. */ -}}
{{- define "llm-sidecar-lib.merge" -}}
{{- $into := index . 0 -}}
{{- range $key, $value := index . 1 -}}
{{- if kindIs "invalid" $value -}}
{{- $_ := unset $into $key -}}
{{- else if and (kindIs "map" $value) (kindIs "map" (get $into $key)) -}}
{{- include "llm-sidecar-lib.merge" (list (get $into $key) $value) -}}
{{- else -}}
{{- $_ := set $into $key $value -}}
{{- end -}}
{{- end -}}
{{- end }}
