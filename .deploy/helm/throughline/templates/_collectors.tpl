{{/*
Containers that write definitions from the Kubernetes API into the folder `collected`. Each is there
twice: once before the service starts (`once`), and beside it.
*/}}
{{- define "throughline.collectors" -}}
{{- $values := .root.Values.definitions }}
{{- if $values.configMaps.enabled }}
- name: {{ if .once }}first-config-maps{{ else }}config-maps{{ end }}
  image: "{{ $values.configMaps.image.repository }}:{{ $values.configMaps.image.tag }}"
  securityContext:
    {{- toYaml .root.Values.securityContext | nindent 4 }}
  env:
    - { name: METHOD, value: {{ if .once }}LIST{{ else }}WATCH{{ end }} }
    - { name: RESOURCE, value: configmap }
    - { name: LABEL, value: {{ $values.configMaps.label | quote }} }
    {{- with $values.configMaps.labelValue }}
    - { name: LABEL_VALUE, value: {{ . | quote }} }
    {{- end }}
    - { name: NAMESPACE, value: {{ if $values.configMaps.allNamespaces }}ALL{{ else }}{{ .root.Release.Namespace }}{{ end }} }
    - { name: FOLDER, value: /collected/config-maps }
    # Two ConfigMaps may have files of one name.
    - { name: UNIQUE_FILENAMES, value: "true" }
    # Its health check is on 8080 by default, where the service has its pages.
    - { name: HEALTH_PORT, value: "8081" }
  resources:
    {{- toYaml $values.configMaps.resources | nindent 4 }}
  volumeMounts:
    - { name: collected, mountPath: /collected }
    - { name: sidecar-tmp, mountPath: /tmp }
{{- end }}
{{- if $values.objects.enabled }}
- name: {{ if .once }}first-objects{{ else }}objects{{ end }}
  image: "{{ $values.objects.image.repository }}:{{ $values.objects.image.tag }}"
  securityContext:
    {{- toYaml .root.Values.securityContext | nindent 4 }}
  command: [sh, -c]
  args:
    - |
      {{- .root.Files.Get "files/collect-objects.sh" | nindent 6 }}
  env:
    - { name: HOME, value: /tmp }
    - { name: FOLDER, value: /collected/objects }
    - { name: ONCE, value: {{ .once | quote }} }
    - { name: INTERVAL, value: {{ $values.objects.intervalSeconds | quote }} }
    - { name: NAMESPACE, value: {{ if $values.objects.allNamespaces }}--all-namespaces{{ else }}--namespace={{ .root.Release.Namespace }}{{ end }} }
  resources:
    {{- toYaml $values.objects.resources | nindent 4 }}
  volumeMounts:
    - { name: collected, mountPath: /collected }
    - { name: sidecar-tmp, mountPath: /tmp }
{{- end }}
{{- end }}
