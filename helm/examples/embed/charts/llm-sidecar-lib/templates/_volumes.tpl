{{- define "llm-sidecar-lib.volumes" -}}
{{- $profile := include "llm-sidecar-lib.profile" . | fromYaml -}}
- name: llm-sidecar-tmp
  emptyDir: {sizeLimit: 64Mi}
- name: llm-sidecar-state
  emptyDir: {sizeLimit: 256Mi}
{{- with $profile.overridesConfigMap }}
- name: llm-sidecar-overrides
  configMap: {name: {{ . | quote }}, optional: true}
{{- end }}
- name: llm-sidecar-no-token
  emptyDir: {sizeLimit: 1Mi}
{{- with $profile.configMap }}
- name: llm-sidecar-config
  configMap: {name: {{ . | quote }}}
{{- end }}
{{- with $profile.secret }}
- name: llm-sidecar-keys
  secret: {secretName: {{ . | quote }}, defaultMode: 292}  # 0444: readable for the sidecar's user
{{- end }}
{{- if eq $profile.capture "proxy" }}
- name: llm-sidecar-trust
  emptyDir: {medium: Memory, sizeLimit: 4Mi}
{{- end }}
{{- end }}

{{- /* For application containers; empty unless capture is proxy. */ -}}
{{- define "llm-sidecar-lib.volumeMounts" -}}
{{- $profile := include "llm-sidecar-lib.profile" . | fromYaml -}}
{{- if eq $profile.capture "proxy" -}}
- name: llm-sidecar-trust
  mountPath: /etc/llm-sidecar/trust
  readOnly: true
{{- end }}
{{- end }}
