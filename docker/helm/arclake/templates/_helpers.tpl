{{- define "arclake.name" -}}
{{- $name := .Chart.Name -}}
{{- if contains $name .Release.Name -}}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{- else -}}{{ printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}{{- end -}}
{{- end }}

{{- define "arclake.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "arclake.labels" -}}
{{ include "arclake.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end }}

{{- define "arclake.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}{{ .Values.serviceAccount.name | default (include "arclake.name" .) }}{{- else -}}{{ .Values.serviceAccount.name | default "default" }}{{- end -}}
{{- end }}

{{- define "arclake.tag" -}}
{{ .Values.image.tag | default (list .Chart.AppVersion .Values.image.architecture | compact | join "-") }}
{{- end }}

{{- /* Nodes of the image's architecture, as Kubernetes calls it, unless the values say otherwise. */ -}}
{{- define "arclake.nodeSelector" -}}
{{- $selector := deepCopy .Values.nodeSelector -}}
{{- with .Values.image.architecture -}}
{{- $selector = merge $selector (dict "kubernetes.io/arch" (eq . "x86_64" | ternary "amd64" "arm64")) -}}
{{- end -}}
{{- toYaml $selector -}}
{{- end }}

{{- define "arclake.configMap" -}}
{{ .Values.project.existingConfigMap | default (printf "%s-project" (include "arclake.name" .)) }}
{{- end }}
