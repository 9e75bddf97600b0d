{{- /* The defaults with what the chart says under llmSidecar; a key that nobody knows is refused. */ -}}
{{- define "llm-sidecar-lib.profile" -}}
{{- $profile := include "llm-sidecar-lib.defaults" . | fromYaml -}}
{{- $given := .Values.llmSidecar | default dict -}}
{{- range $key, $_ := $given -}}
{{- if not (hasKey $profile $key) -}}
{{- fail (printf "llmSidecar.%s: no such value; known are %s" $key (keys $profile | sortAlpha | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- include "llm-sidecar-lib.merge" (list $profile $given) -}}
{{- if and $profile.config $profile.configMap -}}
{{- fail "llmSidecar.configMap cannot stand beside llmSidecar.config: remove one of the two" -}}
{{- end -}}
{{- if and (eq $profile.capture "proxy") (or (eq (toString $profile.native) "false") (semverCompare "<1.29.0-0" .Capabilities.KubeVersion.Version)) -}}
{{- fail "llmSidecar.capture: proxy needs a native sidecar (Kubernetes 1.29), which is ready before the application" -}}
{{- end -}}
{{- if not $profile.config -}}
{{- $_ := set $profile "config" "" -}}
{{- else if kindIs "map" $profile.config -}}
{{- $_ := set $profile "config" (toYaml $profile.config) -}}
{{- end -}}
{{- range $kind, $amounts := $profile.resources -}}
{{- range $name, $amount := $amounts }}{{ $_ := set $amounts $name (toString $amount) }}{{ end -}}
{{- end -}}
{{- toYaml $profile -}}
{{- end }}

{{- /* For terminationGracePeriodSeconds of the pod: the sidecar is told the same. */ -}}
{{- define "llm-sidecar-lib.grace" -}}
{{- $profile := include "llm-sidecar-lib.profile" . | fromYaml -}}
{{- int $profile.gracePeriodSeconds -}}
{{- end }}

{{- /* "true" for a native sidecar, "false" for a plain container. */ -}}
{{- define "llm-sidecar-lib.native" -}}
{{- $profile := include "llm-sidecar-lib.profile" . | fromYaml -}}
{{- $native := toString $profile.native -}}
{{- if eq $native "auto" -}}
{{- semverCompare ">=1.29.0-0" .Capabilities.KubeVersion.Version -}}
{{- else -}}
{{- $native -}}
{{- end -}}
{{- end }}
