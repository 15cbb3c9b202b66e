// Checks an access token as a service in JavaScript would: jose, with the key that is published.
//
// Arguments: the folder that jose is installed in, the base URL, the issuer, the audience. The token comes on standard
// input. Prints the claims as JSON.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, base, issuer, audience] = process.argv.slice(2);
const { createRemoteJWKSet, jwtVerify } = await import(
  pathToFileURL(createRequire(`${folder}/package.json`).resolve("jose"))
);
const token = readFileSync(0, "utf8").trim();
const keys = createRemoteJWKSet(new URL(`${base}/.well-known/jwks.json`));
const { payload } = await jwtVerify(token, keys, { issuer, audience, typ: "at+jwt" });
console.log(JSON.stringify(payload));
