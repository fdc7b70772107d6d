// Clients of memicos' three services: fetch with the paths, bodies and answers of each service's OpenAPI document.
import createFetchClient, { type Client, type ClientOptions } from "openapi-fetch";

import type { paths as AutointerpPaths } from "./autointerp.js";
import type { paths as InferencePaths } from "./inference.js";
import type { paths as WebappPaths } from "./webapp.js";

export type * as autointerp from "./autointerp.js";
export type * as inference from "./inference.js";
export type * as webapp from "./webapp.js";
export { readEvents, type ServerEvent } from "./events.js";

export interface ServerOptions extends ClientOptions {
  /** Sent as X-SECRET-KEY: what the server has as its secret. */
  secret?: string;
}

/** Client of the webapp's JSON API; `baseUrl` is for example `http://127.0.0.1:3000`. */
export function createWebappClient(options: ClientOptions): Client<WebappPaths> {
  return createFetchClient<WebappPaths>(options);
}

/** Client of an inference server; `baseUrl` is for example `http://127.0.0.1:5002`. */
export function createInferenceClient(options: ServerOptions): Client<InferencePaths> {
  return createFetchClient<InferencePaths>(withSecret(options));
}

/** Client of an autointerp server; `baseUrl` is for example `http://127.0.0.1:5003`. */
export function createAutointerpClient(options: ServerOptions): Client<AutointerpPaths> {
  return createFetchClient<AutointerpPaths>(withSecret(options));
}

function withSecret({ secret, ...options }: ServerOptions): ClientOptions {
  return secret === undefined ? options : { ...options, headers: { "X-SECRET-KEY": secret, ...options.headers } };
}
