# Writes all objects of `kind: SLO` into one file of definitions, which replaces the previous one in one
# step. If the API does not answer, the previous file stays.
trap 'exit 0' TERM
mkdir -p "$FOLDER"
collect() {
  kubectl get slos.throughline.dev "$NAMESPACE" --request-timeout 10s --output json > "$FOLDER/.objects.json" &&
    jq --raw-output '.items | sort_by(.metadata.namespace, .metadata.name) | .[] | "---", ({
      apiVersion: "throughline/v1",
      kind: "SLO",
      metadata: {
        name: .metadata.name,
        displayName: .metadata.annotations["throughline.dev/display-name"],
        namespace: .metadata.namespace,
        labels: .metadata.labels,
        annotations: (.metadata.annotations // {}
          | with_entries(select(.key | test("^(kubectl\\.kubernetes\\.io|throughline\\.dev)/") | not))),
      },
      spec: .spec,
    } | tojson)' "$FOLDER/.objects.json" > "$FOLDER/.slos.yaml" &&
    mv "$FOLDER/.slos.yaml" "$FOLDER/slos.yaml"
}
until collect; do sleep 2; done
test "$ONCE" = true && exit 0
while true; do
  sleep "$INTERVAL" & wait $!
  collect
done
