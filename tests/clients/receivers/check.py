"""Judges requests as their receivers would, with libraries that others wrote where there are any.

Every line read is a request: {"kind": ..., "headers": {...}, "body": "..."}.
Every line written is `ok`, or what is wrong with it.
"""

import json
import sys

from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from jsonschema import Draft202012Validator
from slack_sdk.models.blocks import Block
from standardwebhooks import Webhook

TEXT = {"type": "string", "minLength": 1}
TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)$"}
URL = {"type": "string", "pattern": "^https?://"}

# PagerDuty publishes its schema without the limits, which its documentation has.
PAGERDUTY = {
    "type": "object",
    "required": ["routing_key", "event_action", "dedup_key", "payload"],
    "additionalProperties": False,
    "properties": {
        "routing_key": {"type": "string", "minLength": 32, "maxLength": 32},
        "event_action": {"enum": ["trigger", "acknowledge", "resolve"]},
        "dedup_key": {"type": "string", "minLength": 1, "maxLength": 255},
        "client": {"type": "string"},
        "client_url": URL,
        "links": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["href"],
                "additionalProperties": False,
                "properties": {"href": URL, "text": TEXT},
            },
        },
        "images": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["src"],
                "additionalProperties": False,
                "properties": {
                    "src": {"type": "string", "pattern": "^https://"},
                    "href": URL,
                    "alt": {"type": "string"},
                },
            },
        },
        "payload": {
            "type": "object",
            "required": ["summary", "source", "severity"],
            "additionalProperties": False,
            "properties": {
                "summary": {"type": "string", "minLength": 1, "maxLength": 1024},
                "source": TEXT,
                "severity": {"enum": ["critical", "error", "warning", "info"]},
                "timestamp": TIME,
                "component": {"type": "string"},
                "group": {"type": "string"},
                "class": {"type": "string"},
                "custom_details": {"type": "object"},
            },
        },
    },
}

NAMES = {"propertyNames": {"pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"}}
ALERTMANAGER = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "required": ["labels"],
        "additionalProperties": False,
        "properties": {
            "labels": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": TEXT,
                **NAMES,
            },
            "annotations": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                **NAMES,
            },
            "startsAt": TIME,
            "endsAt": TIME,
            "generatorURL": URL,
        },
    },
}


def slack(request, message):
    blocks = message.get("blocks", [])
    assert message.get("text"), "no text for push messages"
    assert len(blocks) <= 12 and len(json.dumps(blocks, ensure_ascii=False)) <= 6_000, "too long"
    known = Block.parse_all(blocks)
    assert len(known) == len(blocks), "blocks that the SDK does not know"
    for block in known:
        block.validate_json()


def slack_call(request, message):
    assert request["headers"]["authorization"].startswith("Bearer "), "no token"
    assert message["channel"], "no channel"
    slack(request, message)


def pagerduty(request, message):
    assert len(request["body"].encode()) <= 512_000, "too long"
    matches(PAGERDUTY, message)


def alertmanager(request, message):
    matches(ALERTMANAGER, message)
    for alert in message:
        assert alert["startsAt"] < alert["endsAt"], "it ends before it begins"


def standard_webhook(request, message):
    assert len(request["body"].encode()) < 20_000, "too long"
    if "webhook-signature" in request["headers"]:
        signer = Webhook(request["secret"])
        key, at = request["headers"]["webhook-id"], int(request["headers"]["webhook-timestamp"])
        # The library refuses times that are not now, and tests drive theirs; so it signs instead.
        from datetime import datetime, timezone

        ours = signer.sign(key, datetime.fromtimestamp(at, timezone.utc), request["body"])
        assert ours == request["headers"]["webhook-signature"], "the signature is another"


def webhook(request, message):
    standard_webhook(request, message)
    assert message["type"].startswith("slo.") and message["timestamp"], "no standard webhook"


def cloudevent(request, message):
    standard_webhook(request, message)
    assert message["specversion"] == "1.0" and message["id"], "no CloudEvent 1.0"
    JSONFormat().read(CloudEvent, request["body"].encode())


def alertmanager_webhook(request, message):
    standard_webhook(request, message)
    assert message["version"] == "4" and message["alerts"], "no webhook of version 4"


def matches(schema, message):
    for problem in Draft202012Validator(schema).iter_errors(message):
        raise AssertionError(f"{problem.json_path}: {problem.message}")


KINDS = {
    "slack": slack,
    "slack-call": slack_call,
    "pagerduty": pagerduty,
    "alertmanager": alertmanager,
    "webhook": webhook,
    "cloudevent": cloudevent,
    "alertmanager-webhook": alertmanager_webhook,
}


def judge(line):
    request = json.loads(line)
    try:
        KINDS[request["kind"]](request, json.loads(request["body"]))
    except Exception as problem:
        return f"{type(problem).__name__}: {problem}".replace("\n", " ")
    return "ok"


for line in sys.stdin:
    print(judge(line), flush=True)
