"""Checks an access token as a service in Python would: PyJWT, with the key that is published.

Arguments: the base URL, the issuer, the audience. The token comes on standard input. Prints the claims as JSON.
"""

import json
import sys

import jwt

base, issuer, audience = sys.argv[1:]
token = sys.stdin.read().strip()
key = jwt.PyJWKClient(f"{base}/.well-known/jwks.json").get_signing_key_from_jwt(token)
claims = jwt.decode(
    token,
    key,
    algorithms=[jwt.get_unverified_header(token)["alg"]],
    issuer=issuer,
    audience=audience,
    options={"require": ["iss", "aud", "sub", "exp", "iat", "jti"]},
)
print(json.dumps(claims))
