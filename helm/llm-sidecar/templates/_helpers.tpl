{{- define "llm-sidecar.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- /* At most 40 characters: suffixes and the namespace follow. */ -}}
{{- define "llm-sidecar.fullname" -}}
{{- $name := include "llm-sidecar.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "llm-sidecar.injector" -}}
{{ include "llm-sidecar.fullname" . }}-injector
{{- end }}

{{- /* Two releases in two namespaces share the cluster, so the namespace is part of the name. */ -}}
{{- define "llm-sidecar.clusterName" -}}
{{ include "llm-sidecar.injector" . }}.{{ .Release.Namespace }}
{{- end }}

{{- define "llm-sidecar.serviceAccount" -}}
{{- .Values.injector.serviceAccount.name | default (include "llm-sidecar.injector" .) -}}
{{- end }}

{{- define "llm-sidecar.certs" -}}
{{- .Values.certs.secretName | default (printf "%s-certs" (include "llm-sidecar.injector" .)) -}}
{{- end }}

{{- /* What a Deployment can never change: keep it small. */ -}}
{{- define "llm-sidecar.selector" -}}
app.kubernetes.io/name: llm-sidecar
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: injector
{{- end }}

{{- /* (list context component) */ -}}
{{- define "llm-sidecar.labels" -}}
{{- $context := index . 0 -}}
{{- $labels := dict "app.kubernetes.io/name" "llm-sidecar" "app.kubernetes.io/instance" $context.Release.Name "app.kubernetes.io/component" (index . 1) "app.kubernetes.io/version" $context.Chart.AppVersion "app.kubernetes.io/managed-by" $context.Release.Service "helm.sh/chart" (printf "%s-%s" $context.Chart.Name ($context.Chart.Version | replace "+" "_")) -}}
{{- toYaml (merge $labels $context.Values.commonLabels) -}}
{{- end }}

{{- /* (list context component [labels] [annotations]): metadata without name and namespace. */ -}}
{{- define "llm-sidecar.metadata" -}}
{{- $context := index . 0 -}}
{{- $labels := include "llm-sidecar.labels" (list $context (index . 1)) | fromYaml -}}
{{- $annotations := deepCopy $context.Values.commonAnnotations -}}
{{- if gt (len .) 2 }}{{ $labels = merge $labels (index . 2) }}{{ end -}}
{{- if gt (len .) 3 }}{{ $annotations = merge (index . 3) $annotations }}{{ end -}}
labels:
  {{- toYaml $labels | nindent 2 }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "llm-sidecar.image" -}}
{{- $registry := .Values.global.imageRegistry | default .Values.image.registry -}}
{{- if $registry }}{{ trimSuffix "/" $registry }}/{{ end }}{{ .Values.image.repository }}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "llm-sidecar.pullSecrets" -}}
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ ternary . (get (ternary (dict) . (kindIs "string" .)) "name") (kindIs "string" .) | quote }}
  {{- end }}
{{- end }}
{{- end }}

{{- /* (list context switch api/version/Kind): "true" where the switch says so, or is auto and the cluster has it. */ -}}
{{- define "llm-sidecar.on" -}}
{{- $context := index . 0 -}}
{{- $switch := toString (index . 1) -}}
{{- if eq $switch "auto" -}}
{{- if $context.Capabilities.APIVersions.Has (index . 2) }}true{{ end -}}
{{- else if eq $switch "true" -}}
true
{{- end -}}
{{- end }}

{{- define "llm-sidecar.openshift" -}}
{{- include "llm-sidecar.on" (list . .Values.openshift "security.openshift.io/v1/SecurityContextConstraints") -}}
{{- end }}

{{- /* (list context securityContext): without what is the platform's to choose. */ -}}
{{- define "llm-sidecar.security" -}}
{{- $security := index . 1 -}}
{{- if include "llm-sidecar.openshift" (index . 0) }}{{ $security = omit $security "runAsUser" "runAsGroup" }}{{ end -}}
{{- range $key, $value := $security -}}
{{- if kindIs "invalid" $value }}{{ $security = omit $security $key }}{{ end -}}
{{- end -}}
{{- toYaml $security -}}
{{- end }}

{{- /* (list context changes who): a profile as the injector reads it. */ -}}
{{- define "llm-sidecar.profile" -}}
{{- $context := index . 0 -}}
{{- $profile := deepCopy $context.Values.sidecar -}}
{{- include "llm-sidecar-lib.merge" (list $profile (index . 1)) -}}
{{- $who := index . 2 -}}
{{- if and $profile.config $profile.configMap -}}
{{- fail (printf "%s: configMap cannot stand beside config: remove one of the two" $who) -}}
{{- end -}}
{{- if lt (len (list (int $profile.port) (int $profile.adminPort) (int $profile.capturePort) | uniq)) 3 -}}
{{- fail (printf "%s: port, adminPort and capturePort must differ" $who) -}}
{{- end -}}
{{- if not $profile.image }}{{ $_ := set $profile "image" (include "llm-sidecar.image" $context) }}{{ end -}}
{{- if not $profile.config }}{{ $_ := set $profile "config" "" }}{{ end -}}
{{- if kindIs "map" $profile.config }}{{ $_ := set $profile "config" (toYaml $profile.config) }}{{ end -}}
{{- $_ := set $profile "native" (toString $profile.native) -}}
{{- $_ := set $profile "securityContext" (include "llm-sidecar.security" (list $context $profile.securityContext) | fromYaml) -}}
{{- toYaml $profile -}}
{{- end }}
