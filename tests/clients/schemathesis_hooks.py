"""Signs in for Schemathesis, with an account for each operation so that none ends the session of another."""

import json
import os
import urllib.request
import uuid

import schemathesis

BASE = os.environ["REGRANT_BASE"]


def post(path, body):
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(BASE + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


ADA = {"email": "ada@example.org", "password": "correct horse battery"}
post("/api/users", ADA)


@schemathesis.hook
def map_body(context, body):
    """Of two sign-ins, one is Ada's: otherwise hardly any would succeed."""
    if context.operation.label == "POST /api/login" and isinstance(body, dict) and len(str(body)) % 2 == 0:
        return {**body, **ADA}
    return body


@schemathesis.auth(refresh_interval=None)
class Bearer:
    def get(self, case, context):
        if "{id}" in case.operation.path:
            return post("/api/login", ADA)  # her own sessions are those that the links of her sign-ins name
        who = {"email": f"{uuid.uuid4()}@example.org", "password": ADA["password"]}
        post("/api/users", who)
        return post("/api/login", who)

    def set(self, case, data, context):
        kinds = {name for scheme in case.operation.definition.raw.get("security", []) for name in scheme}
        if not kinds:
            return
        token = data["refresh_token"] if "refresh_token" in kinds else data["token"]
        case.headers = case.headers or {}
        case.headers["Authorization"] = f"Bearer {token}"
