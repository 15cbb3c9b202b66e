// Checks access tokens for as long as they come, as a service in JavaScript would: jose, with the keys that are published.
//
// Arguments: the folder that jose is installed in, for how many seconds keys are kept, the base URL, the issuer, the
// audience. Tokens come on standard input, one a line; for each, a line of JSON is printed: its key, and what was wrong
// with it, if anything. (Between two fetches, jose waits for 30 s if a key is not known: that is left as it is.)

import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [folder, kept, base, issuer, audience] = process.argv.slice(2);
const { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } = await import(
  pathToFileURL(createRequire(`${folder}/package.json`).resolve("jose"))
);
const keys = createRemoteJWKSet(new URL(`${base}/.well-known/jwks.json`), { cacheMaxAge: Number(kept) * 1000 });
await keys.reload();
console.log("ready");
for await (const token of createInterface({ input: process.stdin })) {
  let wrong = null;
  try {
    await jwtVerify(token, keys, { issuer, audience, typ: "at+jwt" });
  } catch (error) {
    wrong = `${error.code}: ${error.message}`;
  }
  console.log(JSON.stringify({ kid: decodeProtectedHeader(token).kid, wrong }));
}
