"""Lives with Regrant's OAuth endpoints as an application in Python would: Authlib, from the metadata document alone.

Arguments: the base URL, the name and the secret of a client that may introspect. The refresh token comes on standard input.
Prints what it saw as JSON.
"""

import json
import os
import sys

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # loopback

import requests
from authlib.integrations.requests_client import OAuth2Session, OAuthError
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url

base, client_id, client_secret = sys.argv[1:]
refresh_token = sys.stdin.read().strip()
url = get_well_known_url(base, external=True)
metadata = AuthorizationServerMetadata(requests.get(url, timeout=30).json())
for name in ["issuer", "token_endpoint", "revocation_endpoint", "introspection_endpoint", "grant_types_supported"]:
    getattr(metadata, f"validate_{name}")()
assert metadata.issuer == base, metadata

# A public client, and one that authenticates in each way that the metadata name.
public = OAuth2Session(client_id="an-app", token_endpoint_auth_method="none")
tokens = public.refresh_token(metadata["token_endpoint"], refresh_token=refresh_token)
inspected = {}
for method in metadata["introspection_endpoint_auth_methods_supported"]:
    gateway = OAuth2Session(client_id, client_secret, token_endpoint_auth_method=method)
    for kind in ["access_token", "refresh_token"]:
        answer = gateway.introspect_token(metadata["introspection_endpoint"], token=tokens[kind], token_type_hint=kind)
        answer.raise_for_status()
        inspected[f"{method} {kind}"] = answer.json()
    tokens = gateway.refresh_token(metadata["token_endpoint"], refresh_token=tokens["refresh_token"])

revoked = public.revoke_token(metadata["revocation_endpoint"], token=tokens["refresh_token"], token_type_hint="refresh_token")
after = gateway.introspect_token(metadata["introspection_endpoint"], token=tokens["access_token"]).json()
try:
    public.refresh_token(metadata["token_endpoint"], refresh_token=tokens["refresh_token"])
    refused = None
except OAuthError as error:
    refused = error.error
print(json.dumps({"inspected": inspected, "revoked": revoked.status_code, "after": after, "refused": refused}))
