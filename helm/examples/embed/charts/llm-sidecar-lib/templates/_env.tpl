{{- /* (list context profile native): the sidecar's own variables. The kubelet takes $$ for one $. */ -}}
{{- define "llm-sidecar-lib.sidecarEnv" -}}
{{- $profile := index . 1 -}}
{{- $native := index . 2 -}}
{{- if $profile.configMap }}
- name: LLM_SIDECAR_CONFIG
  value: "/etc/llm-sidecar/config/sidecar.yaml"
{{- else if $profile.config }}
- name: LLM_SIDECAR_CONFIG_TEXT
  value: {{ $profile.config | replace "$" "$$" | quote }}
{{- end }}
{{- if $profile.overridesConfigMap }}
- name: LLM_SIDECAR_OVERRIDES
  value: "/etc/llm-sidecar/overrides/overrides.yaml"
{{- end }}
- name: LLM_SIDECAR_PORT
  value: {{ int $profile.port | quote }}
- name: LLM_SIDECAR_ADMIN_PORT
  value: {{ int $profile.adminPort | quote }}
- name: LLM_SIDECAR_ADMIN_HOSTS
  value: "0.0.0.0,::"
- name: LLM_SIDECAR_LOG_LEVEL
  value: {{ $profile.logLevel | quote }}
- name: LLM_SIDECAR_STATE_DIR
  value: "/var/lib/llm-sidecar"
- name: LLM_SIDECAR_NATIVE
  value: {{ $native | quote }}
- name: LLM_SIDECAR_GRACE_SECONDS
  value: {{ int $profile.gracePeriodSeconds | quote }}
- name: LLM_SIDECAR_DRAIN_SECONDS
  value: {{ int $profile.drainTimeout | quote }}
{{- $upstreams := dict -}}
{{- range $provider, $url := $profile.upstreams }}{{ $_ := set $upstreams (upper $provider | replace "-" "_") $url }}{{ end -}}
{{- range $provider, $url := $upstreams }}
- name: LLM_SIDECAR_UPSTREAM_{{ $provider }}
  value: {{ $url | replace "$" "$$" | quote }}
{{- end }}
{{- if eq $profile.capture "proxy" }}
- name: LLM_SIDECAR_CAPTURE
  value: "proxy"
- name: LLM_SIDECAR_CAPTURE_PORT
  value: {{ int $profile.capturePort | quote }}
- name: LLM_SIDECAR_TRUST_DIR
  value: "/etc/llm-sidecar/trust"
{{- end }}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: POD_UID
  valueFrom: {fieldRef: {fieldPath: metadata.uid}}
- name: NODE_NAME
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: "k8s.pod.name=$(POD_NAME),k8s.namespace.name=$(POD_NAMESPACE),k8s.pod.uid=$(POD_UID),k8s.node.name=$(NODE_NAME)
  {{- with $profile.owner }}{{ if and .kind .name }},k8s.{{ .kind }}.name={{ .name }}{{ end }}{{ end }}"
{{- with $profile.otlp }}
{{- if .endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .endpoint | quote }}
- name: OTEL_EXPORTER_OTLP_PROTOCOL
  value: {{ .protocol | quote }}
{{- if .headersSecret.name }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom:
    secretKeyRef:
      name: {{ .headersSecret.name | quote }}
      key: {{ .headersSecret.key | default "headers" | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- with $profile.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /*
(list context env): env of an application container, and after it the variables that lead SDKs to the sidecar, as the
injector adds them. A container that sets one variable of a provider keeps all of that provider's, because clients
differ in which alias they read first. AZURE_OPENAI_ENDPOINT would turn a client into Azure's: set it yourself.
*/ -}}
{{- define "llm-sidecar-lib.env" -}}
{{- $profile := include "llm-sidecar-lib.profile" (index . 0) | fromYaml -}}
{{- $own := index . 1 | default list -}}
{{- $taken := dict -}}
{{- range $own }}{{ $_ := set $taken .name true }}{{ end -}}
{{- with $own }}
{{- toYaml . }}
{{- end }}
{{- if ne $profile.capture "none" }}
{{- $kept := dict -}}
{{- $order := list -}}
{{- range $name, $path := $profile.env }}
{{- $provider := splitList "/" $path | first }}
{{- if ne $name "AZURE_OPENAI_ENDPOINT" }}
{{- if hasKey $taken $name }}{{ $_ := set $kept $provider true }}{{ end }}
{{- $order = append $order (printf "%s %s" $provider $name) }}
{{- end }}
{{- end }}
{{- range sortAlpha $order }}
{{- $provider := splitList " " . | first }}
{{- $name := splitList " " . | last }}
{{- if not (hasKey $kept $provider) }}
- name: {{ $name }}
  value: {{ printf "http://127.0.0.1:%d/%s" (int $profile.port) (get $profile.env $name) | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- if and (eq $profile.capture "proxy") (not (or (hasKey $taken "HTTPS_PROXY") (hasKey $taken "https_proxy"))) }}
{{- $rows := include "llm-sidecar-lib.proxyEnv" $profile | fromYamlArray }}
{{- range $rows }}
{{- if not (hasKey $taken .name) }}
- name: {{ .name }}
  value: {{ .value | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "llm-sidecar-lib.proxyEnv" -}}
{{- range list "HTTPS_PROXY" "https_proxy" }}
- {name: {{ . }}, value: "http://127.0.0.1:{{ int $.capturePort }}"}
{{- end }}
{{- /* the API server's certificate is not ours to vouch for */}}
{{- range list "NO_PROXY" "no_proxy" }}
- {name: {{ . }}, value: "127.0.0.1,localhost,::1,169.254.169.254,.svc,.cluster.local,kubernetes.default,$(KUBERNETES_SERVICE_HOST)"}
{{- end }}
- {name: NODE_USE_ENV_PROXY, value: "1"}
{{- range list "SSL_CERT_FILE" "REQUESTS_CA_BUNDLE" "CURL_CA_BUNDLE" "AWS_CA_BUNDLE" "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH" }}
- {name: {{ . }}, value: "/etc/llm-sidecar/trust/ca-bundle.pem"}
{{- end }}
{{- range list "NODE_EXTRA_CA_CERTS" "DENO_CERT" }}
- {name: {{ . }}, value: "/etc/llm-sidecar/trust/ca.pem"}
{{- end }}
{{- end }}
