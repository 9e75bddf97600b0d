{{- /* The sidecar as the injector makes it; a test compares the two, with the order of every list. */ -}}
{{- define "llm-sidecar-lib.container" -}}
{{- $profile := include "llm-sidecar-lib.profile" . | fromYaml -}}
{{- $native := include "llm-sidecar-lib.native" . -}}
name: llm-sidecar
image: {{ $profile.image | quote }}
imagePullPolicy: {{ $profile.imagePullPolicy }}
args: [run]
{{- if eq $native "true" }}
restartPolicy: Always
{{- end }}
ports:
  - name: llm-proxy
    containerPort: {{ int $profile.port }}
    protocol: TCP
  - name: llm-metrics
    containerPort: {{ int $profile.adminPort }}
    protocol: TCP
  {{- if eq $profile.capture "proxy" }}
  - name: llm-capture
    containerPort: {{ int $profile.capturePort }}
    protocol: TCP
  {{- end }}
env:
  {{- include "llm-sidecar-lib.sidecarEnv" (list . $profile $native) | trim | nindent 2 }}
startupProbe:
  httpGet:
    path: /startupz
    port: llm-metrics
  periodSeconds: 1
  failureThreshold: {{ int $profile.startupFailureThreshold }}
livenessProbe:
  httpGet:
    path: /livez
    port: llm-metrics
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 3
{{- if $profile.readiness }}
readinessProbe:
  httpGet:
    path: /readyz
    port: llm-metrics
{{- end }}
lifecycle:
  preStop:
    exec:
      command: [llm-sidecar, drain]
terminationMessagePolicy: FallbackToLogsOnError
securityContext:
  {{- toYaml $profile.securityContext | nindent 2 }}
resources:
  {{- toYaml $profile.resources | nindent 2 }}
volumeMounts:
  - name: llm-sidecar-tmp
    mountPath: /tmp
  - name: llm-sidecar-state
    mountPath: /var/lib/llm-sidecar
  {{- if $profile.overridesConfigMap }}
  - name: llm-sidecar-overrides
    mountPath: /etc/llm-sidecar/overrides
    readOnly: true
  {{- end }}
  - name: llm-sidecar-no-token
    mountPath: /var/run/secrets/kubernetes.io/serviceaccount
    readOnly: true
  {{- if $profile.configMap }}
  - name: llm-sidecar-config
    mountPath: /etc/llm-sidecar/config
    readOnly: true
  {{- end }}
  {{- if $profile.secret }}
  - name: llm-sidecar-keys
    mountPath: /etc/llm-sidecar/keys
    readOnly: true
  {{- end }}
  {{- if eq $profile.capture "proxy" }}
  - name: llm-sidecar-trust
    mountPath: /etc/llm-sidecar/trust
  {{- end }}
{{- end }}

{{- /* For initContainers, above every other: those after it may call models too. */ -}}
{{- define "llm-sidecar-lib.initContainers" -}}
{{- if eq (include "llm-sidecar-lib.native" .) "true" -}}
- {{ include "llm-sidecar-lib.container" . | nindent 2 | trim }}
{{- end }}
{{- end }}

{{- /* For containers, below every other; empty where the sidecar is native. */ -}}
{{- define "llm-sidecar-lib.containers" -}}
{{- if ne (include "llm-sidecar-lib.native" .) "true" -}}
- {{ include "llm-sidecar-lib.container" . | nindent 2 | trim }}
{{- end }}
{{- end }}
