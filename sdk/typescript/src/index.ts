// Calls grantd: the types are generated from its OpenAPI document, and what is written by hand is thin.

import type { components, paths } from "./api.js";

type Schemas = components["schemas"];

export type Authorization = Schemas["Authorization"];
export type ConnectLink = Schemas["ConnectLink"];
export type Job = Schemas["Job"];
export type Provider = Schemas["Provider"];
export type Token = Schemas["Token"];

/** An answer of grantd's that is not a success, or none at all. */
export class GrantdError extends Error {
  override name = "GrantdError";

  constructor(
    message: string,
    /** Of HTTP; 0 where no answer came. */
    readonly status: number,
    /** A word for programs, such as an OAuth error code; may be empty. */
    readonly detail = "",
    /** Which fields are wrong, and what would be right. */
    readonly fields: { name: string; message: string }[] = [],
    /** What to tell the operator of grantd. */
    readonly requestId = "",
    /** How many seconds to wait before asking again; 0 where there is no advice. */
    readonly retryAfter = 0,
    /** Where the person connects an account, or renews it; empty where grantd told nothing. */
    readonly connectUrl = "",
    options?: ErrorOptions,
  ) {
    super(message, options);
  }

  /** The person has to connect an account, or renew it. */
  get consentNeeded(): boolean {
    return this.status === 410 || this.detail === "interaction_required" || (this.detail === "invalid_scope" && this.connectUrl !== "");
  }

  /** The upstream does not answer, or refuses the client. */
  get upstreamDown(): boolean {
    return this.status === 502 && this.requestId !== "";
  }

  /** grantd cannot be reached, or cannot reach its database. */
  get unavailable(): boolean {
    return this.status === 0 || this.status === 503 || this.status === 504 || (this.status === 502 && this.requestId === "");
  }
}

export interface Options {
  /** Where grantd is, such as https://grantd.example.com */
  url: string;
  /** An API token, or a token of an issuer that the operator trusts. A function is asked before each request. */
  token: string | (() => string | Promise<string>);
  /** The user that the requests are for: API tokens of the role service have to name one. */
  userId?: string;
  /** Instead of the global fetch. */
  fetch?: typeof fetch;
  /** After how many milliseconds a request is given up; 30 000 where it is left out. */
  timeout?: number;
}

type Method = "get" | "post" | "patch" | "delete";
type PathsWith<M extends Method> = { [P in keyof paths]: paths[P] extends Record<M, { responses: unknown }> ? P : never }[keyof paths];
type Json<R> = R extends { content: { "application/json": infer B } } ? B : undefined;
type Answer<O> = O extends { responses: infer R } ? Json<R[Extract<keyof R, 200 | 201 | 202 | 204>]> : never;
type Query<O> = O extends { parameters: { query?: infer Q } } ? Q : never;
type Path<O> = O extends { parameters: { path: infer P } } ? P : never;
type Body<O> = O extends { requestBody: { content: { "application/json": infer B } } } ? B : never;

/** What a request has beside its path. */
export interface Parts<O> {
  path?: Path<O>;
  query?: Query<O>;
  body?: Body<O>;
}

const root = "/api/v2/externalOAuth/";

/** A grantd, as one caller sees it. */
export class Grantd {
  readonly #options: Options;

  constructor(options: Options) {
    this.#options = { ...options, url: options.url.replace(/\/+$/, "") };
  }

  /** The same grantd, for a user: its requests carry the user's name. Take it from your own session. */
  for(userId: string): Grantd {
    return new Grantd({ ...this.#options, userId });
  }

  /** An access token of the upstream that works now. Ask before every use; do not keep it. */
  token(authorization: string, options: { minTtl?: number } = {}): Promise<Token> {
    const query = options.minTtl === undefined ? {} : { minTtl: String(options.minTtl) };
    return this.call("post", `${root}authorizedProviders/{id}/token/`, { path: { id: authorization }, query });
  }

  /** The authorizations that the caller may see, page by page. */
  async *authorizations(filter: NonNullable<Query<paths["/api/v2/externalOAuth/authorizedProviders/"]["get"]>> = {}): AsyncGenerator<Authorization> {
    let query = filter;
    for (;;) {
      const page = await this.call("get", `${root}authorizedProviders/`, { query });
      yield* page.data ?? [];
      if (page.next === null) {
        return;
      }
      const cursor = new URL(page.next).searchParams.get("cursor");
      query = { ...filter, ...(cursor === null ? {} : { cursor }) };
    }
  }

  /** Disconnects an account. The upstream is told now or later. */
  async disconnect(authorization: string): Promise<void> {
    await this.call("delete", `${root}authorizedProviders/{id}/`, { path: { id: authorization } });
  }

  /** Makes a link for a person to connect an account. Send the person's browser to its url. */
  connectLink(link: Schemas["NewConnectLink"]): Promise<Schemas["MadeConnectLink"]> {
    return this.call("post", `${root}connectLinks/`, { body: link });
  }

  /** Confirms who came back from a connect link. Take userId from the session that the browser has with you, never from the link. */
  confirm(link: string, result: string, userId: string): Promise<Schemas["Confirmed"]> {
    return this.call("post", `${root}connectLinks/{id}/confirm/`, { path: { id: link }, body: { result, userId } });
  }

  /** Exchanges a token of a person's for the access token of what the person has connected (RFC 8693). */
  async exchange(request: { subject: string; audience: string; scope?: string; account?: string }): Promise<{ accessToken: string; expiresIn?: number; scope: string }> {
    const form = new URLSearchParams({
      grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
      subject_token: request.subject,
      subject_token_type: "urn:ietf:params:oauth:token-type:access_token",
      audience: request.audience,
      ...(request.scope === undefined ? {} : { scope: request.scope }),
      ...(request.account === undefined ? {} : { account: request.account }),
    });
    const answer = (await this.#send("POST", "/oauth2/token", form)) as { access_token: string; expires_in?: number; scope: string };
    return { accessToken: answer.access_token, scope: answer.scope, ...(answer.expires_in === undefined ? {} : { expiresIn: answer.expires_in }) };
  }

  /** Any operation of the OpenAPI document, by its method and path. */
  async call<M extends Method, P extends PathsWith<M>>(method: M, path: P, parts: Parts<paths[P][M]> = {}): Promise<Answer<paths[P][M]>> {
    let address: string = path;
    for (const [name, value] of Object.entries(parts.path ?? {})) {
      address = address.replace(`{${name}}`, encodeURIComponent(String(value)));
    }
    const query = new URLSearchParams();
    if (this.#options.userId !== undefined) {
      query.set("userId", this.#options.userId);
    }
    for (const [name, value] of Object.entries(parts.query ?? {})) {
      if (value !== undefined && value !== null) {
        query.set(name, String(value));
      }
    }
    const search = query.size > 0 ? `?${query}` : "";
    return (await this.#send(method.toUpperCase(), address + search, parts.body)) as Answer<paths[P][M]>;
  }

  async #send(method: string, address: string, body: unknown): Promise<unknown> {
    const { url, token, timeout = 30_000 } = this.#options;
    const headers: Record<string, string> = { Accept: "application/json", Authorization: `Bearer ${typeof token === "string" ? token : await token()}` };
    const init: RequestInit = { method, headers, redirect: "manual", signal: AbortSignal.timeout(timeout) }; // grantd sends no redirects: the token must not travel on
    if (body instanceof URLSearchParams) {
      init.body = body;
    } else if (body !== undefined) {
      headers["Content-Type"] = "application/json";
      init.body = JSON.stringify(body);
    }
    let response: Response;
    let text: string;
    try {
      response = await (this.#options.fetch ?? fetch)(url + address, init);
      text = await response.text();
    } catch (cause) {
      throw new GrantdError("grantd cannot be reached", 0, "", [], "", 0, "", { cause });
    }
    if (!response.ok) {
      throw refused(response, text);
    }
    return text === "" ? undefined : JSON.parse(text);
  }
}

/** Reads an error. What came from a proxy in between is no JSON of grantd's: then the status has to do. */
function refused(response: Response, text: string): GrantdError {
  let body: Record<string, unknown> = {};
  try {
    body = JSON.parse(text) as Record<string, unknown>;
  } catch {
    // the status has to do
  }
  const of = (name: string): string => (typeof body[name] === "string" ? (body[name] as string) : "");
  const fields = Array.isArray(body["errorFields"]) ? (body["errorFields"] as { name: string; message: string }[]) : [];
  return new GrantdError(
    of("message") || of("error_description") || `grantd answered ${response.status}`,
    response.status,
    of("detail") || of("error"),
    fields,
    response.headers.get("X-Request-Id") ?? "",
    Number(response.headers.get("Retry-After") ?? 0) || 0,
    of("connect_url"),
  );
}
