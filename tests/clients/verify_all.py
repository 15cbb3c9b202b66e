"""Checks access tokens for as long as they come, as a service in Python would.

Arguments: how ("client": PyJWT with its own PyJWKClient; "poll": the keys are fetched every so often and at no other
time), for how many seconds keys are kept, the base URL, the issuer, the audience. Tokens come on standard input, one a
line; for each, a line of JSON is printed: its key, and what was wrong with it, if anything.
"""

import json
import sys
import threading
import time
import urllib.request

import jwt

how, kept, base, issuer, audience = sys.argv[1:]
url = f"{base}/.well-known/jwks.json"


class Polling:
    def __init__(self):
        self.fetch()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            time.sleep(float(kept))
            self.fetch()

    def fetch(self):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url) as answer:
            self.keys = jwt.PyJWKSet.from_dict(json.load(answer))

    def get_signing_key_from_jwt(self, token):
        return self.keys[jwt.get_unverified_header(token)["kid"]]


keys = Polling() if how == "poll" else jwt.PyJWKClient(url, lifespan=float(kept))
print("ready", flush=True)
for line in sys.stdin:
    token = line.strip()
    header = jwt.get_unverified_header(token)
    wrong = None
    try:
        key = keys.get_signing_key_from_jwt(token)
        jwt.decode(token, key, algorithms=[header["alg"]], issuer=issuer, audience=audience)
    except Exception as error:
        wrong = f"{type(error).__name__}: {error}"
    print(json.dumps({"kid": header["kid"], "wrong": wrong}), flush=True)
