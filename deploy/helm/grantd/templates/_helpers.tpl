{{- define "grantd.name" -}}
{{- printf "%s" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "grantd.labels" -}}
app.kubernetes.io/name: grantd
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* Takes a list of the root and the component. */}}
{{- define "grantd.selector" -}}
app.kubernetes.io/name: grantd
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* The pod of a command: a list of the root, the command, its resources and whether it serves. */}}
{{- define "grantd.pod" -}}
{{- $root := index . 0 -}}{{- $command := index . 1 -}}{{- $resources := index . 2 -}}{{- $serves := index . 3 -}}
{{- $issuers := and (eq $command "api") $root.Values.issuers }}
serviceAccountName: {{ include "grantd.name" $root }}
automountServiceAccountToken: {{ and (eq $command "api") $root.Values.clusterIssuer }}
{{- if $serves }}
# A stop waits for token calls in flight, whose answers cannot be had again.
terminationGracePeriodSeconds: 60
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- with $root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: {{ $command }}
    image: "{{ $root.Values.image.repository }}:{{ default $root.Chart.AppVersion $root.Values.image.tag }}"
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    args: [{{ $command | quote }}]
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities:
        drop: [ALL]
    env:
      - name: GRANTD_LISTEN
        value: 0.0.0.0:8080
      - name: GRANTD_METRICS_LISTEN
        value: 0.0.0.0:9090
      - name: GRANTD_PUBLIC_URL
        value: {{ required "publicURL: must be what people and clients call, such as https://grantd.example.com" $root.Values.publicURL | quote }}
      - name: GRANTD_KEYSET
        value: /keys/{{ $root.Values.keyset.key }}
      - name: GRANTD_LOG_FORMAT
        value: json
      - name: GRANTD_DRAIN_DELAY
        value: 5s
      - name: GRANTD_DATABASE_URL
        valueFrom:
          secretKeyRef:
            name: {{ $root.Values.connections.secret }}
            key: {{ $root.Values.connections.databaseKey }}
      - name: GRANTD_REDIS_URL
        valueFrom:
          secretKeyRef:
            name: {{ $root.Values.connections.secret }}
            key: {{ $root.Values.connections.redisKey }}
      {{- if $issuers }}
      - name: GRANTD_ISSUERS
        value: /issuers/issuers.json
      {{- end }}
      {{- range $name, $value := $root.Values.settings }}
      - name: {{ $name }}
        value: {{ $value | quote }}
      {{- end }}
    {{- if $serves }}
    ports:
      {{- if eq $command "api" }}
      - name: http
        containerPort: 8080
      {{- end }}
      - name: metrics
        containerPort: 9090
    livenessProbe:
      httpGet:
        path: /healthz
        port: metrics
      periodSeconds: 10
      failureThreshold: 6
    readinessProbe:
      httpGet:
        path: /readyz
        port: metrics
      periodSeconds: 2
    {{- end }}
    resources:
      {{- toYaml $resources | nindent 6 }}
    volumeMounts:
      - name: keyset
        mountPath: /keys
        readOnly: true
      {{- if $issuers }}
      - name: issuers
        mountPath: /issuers
        readOnly: true
      {{- end }}
volumes:
  - name: keyset
    secret:
      secretName: {{ $root.Values.keyset.secret }}
      defaultMode: 0440
  {{- if $issuers }}
  - name: issuers
    configMap:
      name: {{ include "grantd.name" $root }}-issuers
  {{- end }}
{{- end -}}
