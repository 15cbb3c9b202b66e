// Lives with Regrant's OAuth endpoints as an application in JavaScript would: openid-client, from the metadata document alone.
//
// Arguments: the folder that openid-client is installed in, the base URL, the name and the secret of a client that may
// introspect. The refresh token comes on standard input. Prints what it saw as JSON.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, base, clientId, clientSecret] = process.argv.slice(2);
const client = await import(pathToFileURL(createRequire(`${folder}/package.json`).resolve("openid-client")));
// Loopback only: elsewhere, the library insists on https.
const options = { algorithm: "oauth2", execute: [client.allowInsecureRequests] };
const discover = (id, authentication) => client.discovery(new URL(base), id, {}, authentication, options);

let refreshToken = readFileSync(0, "utf8").trim();
const app = await discover("an-app", client.None());
let tokens = await client.refreshTokenGrant(app, refreshToken);
const inspected = {};
const ways = { client_secret_basic: client.ClientSecretBasic, client_secret_post: client.ClientSecretPost };
let gateway;
for (const method of app.serverMetadata().introspection_endpoint_auth_methods_supported) {
  gateway = await discover(clientId, ways[method](clientSecret));
  for (const kind of ["access_token", "refresh_token"]) {
    inspected[`${method} ${kind}`] = await client.tokenIntrospection(gateway, tokens[kind], { token_type_hint: kind });
  }
  tokens = await client.refreshTokenGrant(gateway, tokens.refresh_token);
}
await client.tokenRevocation(app, tokens.access_token, { token_type_hint: "access_token" });
const after = await client.tokenIntrospection(gateway, tokens.refresh_token);
const refused = await client.refreshTokenGrant(app, tokens.refresh_token).then(
  () => null,
  (error) => error.error,
);
console.log(JSON.stringify({ inspected, revoked: 200, after, refused }));
