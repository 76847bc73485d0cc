{{- define "throughline.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "throughline.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 58 | trimSuffix "-" }}
{{- else }}
{{- $name := include "throughline.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "throughline.selectorLabels" -}}
app.kubernetes.io/name: {{ include "throughline.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "throughline.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "throughline.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "throughline.metadata" -}}
name: {{ include "throughline.fullname" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "throughline.labels" . | nindent 2 }}
{{- end }}

{{- define "throughline.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- define "throughline.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "throughline.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "throughline.databaseSecret" -}}
{{- if .Values.database.url }}
{{- printf "%s-database" (include "throughline.fullname" .) }}
{{- else }}
{{- required "set database.existingSecret or database.url" .Values.database.existingSecret }}
{{- end }}
{{- end }}

{{- define "throughline.definitionsConfigMap" -}}
{{- default (printf "%s-definitions" (include "throughline.fullname" .)) .Values.definitions.existingConfigMap }}
{{- end }}

{{/* Whether a sidecar asks the Kubernetes API. */}}
{{- define "throughline.collects" -}}
{{- if or .Values.definitions.configMaps.enabled .Values.definitions.objects.enabled }}true{{ end }}
{{- end }}

{{/* Whether a setting, or a further variable of the container, is there: a list of the context and its name. */}}
{{- define "throughline.isSet" -}}
{{- $name := index . 1 }}
{{- $values := (index . 0).Values }}
{{- $isSet := get $values.settings $name }}
{{- range $values.extraEnv }}
{{- if eq .name $name }}{{ $isSet = "extraEnv" }}{{ end }}
{{- end }}
{{- if $isSet }}true{{ end }}
{{- end }}

{{/* Scheme of the pages, API, metrics and probes. */}}
{{- define "throughline.pagesScheme" -}}
{{- if include "throughline.isSet" (list . "THROUGHLINE_TLS_CERT") }}https{{ else }}http{{ end }}
{{- end }}

{{/* Scheme of OTLP over HTTP. */}}
{{- define "throughline.otlpScheme" -}}
{{- if include "throughline.isSet" (list . "THROUGHLINE_OTLP_TLS_CERT") }}https{{ else }}http{{ end }}
{{- end }}

{{/* Names that requests may be addressed to: those of the Service and the Ingress, and yours. */}}
{{- define "throughline.allowedHosts" -}}
{{- $name := include "throughline.fullname" . }}
{{- $service := printf "%s.%s" $name .Release.Namespace }}
{{- $hosts := list $name $service (printf "%s.svc" $service) (printf "%s.svc.cluster.local" $service) }}
{{- $hosts = concat $hosts .Values.ingress.hosts }}
{{- with .Values.settings.THROUGHLINE_ALLOWED_HOSTS }}
{{- $hosts = append $hosts . }}
{{- end }}
{{- join "," $hosts }}
{{- end }}
