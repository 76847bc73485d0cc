"""Checks each example of an OpenAPI document, given at standard input, against its schema."""

import json
import sys

import jsonschema_rs


def contents(operation):
    yield from operation.get("requestBody", {}).get("content", {}).items()
    for response in operation["responses"].values():
        yield from response.get("content", {}).items()


document = json.load(sys.stdin)
wrong = []
for path, methods in document["paths"].items():
    for method, operation in methods.items():
        for kind, content in contents(operation):
            if "example" not in content:
                continue
            schema = {**content["schema"], "components": document["components"]}
            validator = jsonschema_rs.validator_for(schema, validate_formats=True)
            for error in validator.iter_errors(content["example"]):
                wrong.append(f"{method} {path} {kind} {error.instance_path}: {error.message}")
sys.exit("\n".join(wrong) or 0)
