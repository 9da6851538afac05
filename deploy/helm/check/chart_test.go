// Package check renders the chart with Helm's own library and decodes what comes out strictly
// into the types of Kubernetes. It is a module of its own, whose dependencies no user of grantd
// inherits; `make chart` runs it.
package check

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

const chart = "../grantd"

// render returns the documents that the chart makes, by kind and name.
func render(t *testing.T, values map[string]any) map[string][]byte {
	t.Helper()
	c, err := loader.Load(chart)
	if err != nil {
		t.Fatal(err)
	}
	all, err := chartutil.ToRenderValues(c, values, chartutil.ReleaseOptions{Name: "prod", Namespace: "grantd", IsInstall: true}, chartutil.DefaultCapabilities)
	if err != nil {
		t.Fatal(err)
	}
	files, err := engine.Render(c, all)
	if err != nil {
		t.Fatal(err)
	}
	documents := map[string][]byte{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, ".tpl") {
			continue
		}
		for document := range strings.SplitSeq(files[name], "\n---\n") {
			if strings.TrimSpace(document) == "" {
				continue
			}
			var head struct {
				Kind     string `json:"kind"`
				Metadata struct {
					Name string `json:"name"`
				} `json:"metadata"`
			}
			if err := yaml.Unmarshal([]byte(document), &head); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, document)
			}
			documents[head.Kind+"/"+head.Metadata.Name] = []byte(document)
		}
	}
	return documents
}

// decode reads a document, and refuses fields that its type does not have.
func decode[T any](t *testing.T, documents map[string][]byte, name string) T {
	t.Helper()
	var v T
	document, ok := documents[name]
	if !ok {
		t.Fatalf("there is no %s among %v", name, slices.Sorted(maps.Keys(documents)))
	}
	if err := yaml.UnmarshalStrict(document, &v); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, document)
	}
	delete(documents, name)
	return v
}

// serviceAccount is where Kubernetes puts what a pod reaches the cluster's API with.
const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount/"

var everything = map[string]any{
	"settings": map[string]any{"GRANTD_REDIRECT_ALLOW": "https://app.example.com"},
	"api":      map[string]any{"ingress": map[string]any{"enabled": true, "className": "nginx", "tlsSecret": "grantd-tls"}},
	"worker":   map[string]any{"autoscaling": map[string]any{"enabled": true}},
	"issuers": []any{map[string]any{"name": "prod", "issuer": "https://kubernetes.default.svc.cluster.local",
		"jwksUrl": "https://kubernetes.default.svc/openid/v1/jwks", "caFile": serviceAccount + "ca.crt", "tokenFile": serviceAccount + "token",
		"audience": "https://grantd.example.com", "organisation": "acme", "role": "service", "providers": []any{"github"},
		"rules": []any{map[string]any{"claim": "sub", "equals": "system:serviceaccount:web:backend"}}}},
	"clusterIssuer": true,
}

func TestTheChartIsWhatKubernetesTakes(t *testing.T) {
	documents := render(t, everything)
	api := decode[appsv1.Deployment](t, documents, "Deployment/prod-api")
	worker := decode[appsv1.Deployment](t, documents, "Deployment/prod-worker")
	migrate := decode[batchv1.Job](t, documents, "Job/prod-migrate")
	service := decode[corev1.Service](t, documents, "Service/prod")
	ingress := decode[networkingv1.Ingress](t, documents, "Ingress/prod")
	scaler := decode[autoscalingv2.HorizontalPodAutoscaler](t, documents, "HorizontalPodAutoscaler/prod-worker")
	policy := decode[networkingv1.NetworkPolicy](t, documents, "NetworkPolicy/prod")
	decode[policyv1.PodDisruptionBudget](t, documents, "PodDisruptionBudget/prod-api")
	decode[policyv1.PodDisruptionBudget](t, documents, "PodDisruptionBudget/prod-worker")
	account := decode[corev1.ServiceAccount](t, documents, "ServiceAccount/prod")
	issuers := decode[corev1.ConfigMap](t, documents, "ConfigMap/prod-issuers")
	if len(documents) > 0 {
		t.Errorf("nothing looks at %v", slices.Sorted(maps.Keys(documents)))
	}

	for name, pod := range map[string]corev1.PodTemplateSpec{"api": api.Spec.Template, "worker": worker.Spec.Template, "migrate": migrate.Spec.Template} {
		hardened(t, name, pod.Spec)
		c := pod.Spec.Containers[0]
		if !slices.Equal(c.Args, []string{name}) {
			t.Errorf("%s runs %q", name, c.Args)
		}
		if pod.Spec.ServiceAccountName != account.Name {
			t.Errorf("%s runs as %s", name, pod.Spec.ServiceAccountName)
		}
		if !slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool {
			return e.Name == "GRANTD_REDIRECT_ALLOW" && e.Value == "https://app.example.com"
		}) {
			t.Errorf("%s does not have the further settings", name)
		}
		if mode := pod.Spec.Volumes[0].Secret.DefaultMode; mode == nil || *mode != 0o440 {
			t.Errorf("the keyset of %s has the mode %v, which grantd refuses", name, mode)
		}
		serves := name != "migrate"
		if (c.LivenessProbe != nil) != serves || (c.ReadinessProbe != nil) != serves {
			t.Errorf("%s has probes: %v", name, c.LivenessProbe)
		}
		if grace := pod.Spec.TerminationGracePeriodSeconds; serves && (grace == nil || *grace < 60) {
			t.Errorf("%s has %v seconds to stop", name, grace)
		}
		for key, value := range api.Spec.Selector.MatchLabels {
			if name == "api" && (pod.Labels[key] != value || service.Spec.Selector[key] != value) {
				t.Errorf("deployment or service do not find %s=%s", key, value)
			}
		}
		for key, value := range policy.Spec.PodSelector.MatchLabels {
			if pod.Labels[key] != value {
				t.Errorf("the network policy does not find %s", name)
			}
		}
	}
	trusts(t, api.Spec.Template, issuers)
	if worker.Spec.Replicas != nil {
		t.Error("the number of workers is set beside the autoscaler")
	}
	if scaler.Spec.ScaleTargetRef.Name != worker.Name {
		t.Errorf("%s is scaled", scaler.Spec.ScaleTargetRef.Name)
	}
	if backend := ingress.Spec.Rules[0].HTTP.Paths[0].Backend.Service; backend.Name != service.Name || backend.Port.Name != service.Spec.Ports[0].Name {
		t.Errorf("the ingress leads to %s", backend)
	}
	if hook := migrate.Annotations["helm.sh/hook"]; !strings.Contains(hook, "pre-upgrade") {
		t.Errorf("migrate is the hook %q", hook)
	}
}

// trusts fails the test unless the API reads the issuers from the file, with what the cluster's keys are read with.
func trusts(t *testing.T, api corev1.PodTemplateSpec, issuers corev1.ConfigMap) {
	t.Helper()
	c := api.Spec.Containers[0]
	mount := slices.IndexFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == "issuers" })
	volume := slices.IndexFunc(api.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == "issuers" })
	if mount < 0 || volume < 0 || api.Spec.Volumes[volume].ConfigMap == nil || api.Spec.Volumes[volume].ConfigMap.Name != issuers.Name {
		t.Fatalf("the API does not mount the issuers: %v", api.Spec.Volumes)
	}
	for name := range issuers.Data {
		file := c.VolumeMounts[mount].MountPath + "/" + name
		if !slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "GRANTD_ISSUERS" && e.Value == file }) {
			t.Errorf("GRANTD_ISSUERS is not %s", file)
		}
	}
	if api.Annotations["checksum/issuers"] == "" {
		t.Error("the API does not start again when its issuers change")
	}
	var read map[string]any
	if err := json.Unmarshal([]byte(issuers.Data["issuers.json"]), &read); err != nil || !reflect.DeepEqual(read["issuers"], everything["issuers"]) {
		t.Errorf("the file has %s (%v)", issuers.Data["issuers.json"], err)
	}
}

func hardened(t *testing.T, name string, pod corev1.PodSpec) {
	t.Helper()
	p, c := pod.SecurityContext, pod.Containers[0].SecurityContext
	switch {
	case p == nil || c == nil:
		t.Errorf("%s has no security context", name)
	case p.RunAsNonRoot == nil || !*p.RunAsNonRoot, p.SeccompProfile == nil, c.ReadOnlyRootFilesystem == nil || !*c.ReadOnlyRootFilesystem,
		c.AllowPrivilegeEscalation == nil || *c.AllowPrivilegeEscalation, !slices.Equal(c.Capabilities.Drop, []corev1.Capability{"ALL"}):
		t.Errorf("%s may do too much: %v, %v", name, p, c)
	}
	if mounts := pod.AutomountServiceAccountToken; mounts == nil || *mounts != (name == "api") { // with which the API reads the cluster's keys
		t.Errorf("%s has a token of Kubernetes: %v", name, mounts)
	}
}

func TestWhatIsSwitchedOffIsNotThere(t *testing.T) {
	documents := render(t, map[string]any{"podDisruptionBudget": map[string]any{"enabled": false}, "networkPolicy": map[string]any{"enabled": false}})
	worker := decode[appsv1.Deployment](t, documents, "Deployment/prod-worker")
	if worker.Spec.Replicas == nil || *worker.Spec.Replicas != 2 {
		t.Errorf("there are %v workers", worker.Spec.Replicas)
	}
	api := decode[appsv1.Deployment](t, documents, "Deployment/prod-api")
	if mounts := api.Spec.Template.Spec.AutomountServiceAccountToken; mounts == nil || *mounts {
		t.Error("the API has a token of Kubernetes, which it does not need")
	}
	for name := range documents {
		for _, kind := range []string{"ConfigMap/", "Ingress/", "HorizontalPodAutoscaler/", "NetworkPolicy/", "PodDisruptionBudget/"} {
			if strings.HasPrefix(name, kind) {
				t.Errorf("%s is there", name)
			}
		}
	}
}

// No secret is in what the chart renders: it names those that exist.
func TestTheChartMakesNoSecret(t *testing.T) {
	for name, document := range render(t, everything) {
		if strings.HasPrefix(name, "Secret/") || bytes.Contains(document, []byte("postgres://")) {
			t.Errorf("%s has a secret", name)
		}
	}
}

func TestHelmsLinterIsContent(t *testing.T) {
	for _, m := range lint.AllWithKubeVersion(chart, everything, "grantd", nil).Messages {
		if m.Severity >= support.WarningSev {
			t.Error(m)
		}
	}
}
