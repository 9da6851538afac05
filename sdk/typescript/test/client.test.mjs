// Against a grantd that runs: a Go test starts it and says in the environment where it is and what is in it.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Grantd, GrantdError } from "../dist/index.js";

const { GRANTD_URL: url, GRANTD_SERVICE: token, GRANTD_ADA: ada, AUTHORIZATION: id, EXPIRED: expired, LINK: link, RESULT: result, SLUG: slug } = process.env;
const service = new Grantd({ url, token });
const refusal = (check) => (error) => error instanceof GrantdError && error.message !== "" && check(error);

test("a service fetches a user's token", async () => {
  const got = await service.for("ada").token(id, { minTtl: 60 });
  assert.ok(got.accessToken.length > 10);
  assert.equal(got.authorizedOauthProvider.id, id);
  assert.ok(new Date(got.expiresAt) > new Date());
});

test("errors tell what is to be done", async () => {
  await assert.rejects(service.token(id), refusal((e) => e.status === 422 && e.fields[0].name === "userId" && e.requestId !== ""));
  await assert.rejects(service.for("grace").token(id), refusal((e) => e.status === 404 && !e.consentNeeded));
  await assert.rejects(service.for("ada").token(expired), refusal((e) => e.status === 410 && e.consentNeeded));
  await assert.rejects(new Grantd({ url, token: async () => "grd_x" }).for("ada").token(id), refusal((e) => e.status === 401));
  await assert.rejects(new Grantd({ url: "http://127.0.0.1:1", token }).for("ada").token(id), refusal((e) => e.unavailable && e.cause !== undefined));
  const proxy = async () => new Response("<html>", { status: 502 });
  await assert.rejects(new Grantd({ url, token, fetch: proxy }).token(id), refusal((e) => e.unavailable && !e.upstreamDown));
});

test("lists go through all pages", async () => {
  const seen = [];
  for await (const a of service.for("ada").authorizations({ limit: 1 })) {
    seen.push(a.id);
  }
  assert.deepEqual(seen.toSorted(), [id, expired].toSorted());
});

test("a person connects an account with a link", async () => {
  const made = await service.connectLink({ userId: "ada", slug: slug, returnUrl: "https://app.example.com/connected", popup: true });
  assert.ok(made.url.startsWith(url + "/connect/"));
  const seen = await service.call("get", "/api/v2/externalOAuth/connectLinks/{id}/", { path: { id: made.id } });
  assert.equal(seen.status, "open");
  await assert.rejects(service.confirm(link, "another", "grace"), refusal((e) => e.status === 400));
  const done = await service.confirm(link, result, "grace");
  assert.equal(done.authorizedProvider.userId, "grace");
  await service.for("grace").disconnect(done.authorizedProvider.id);
  await assert.rejects(service.for("grace").token(done.authorizedProvider.id), refusal((e) => e.status === 404));
});

test("a person's token is exchanged", async () => {
  const got = await service.exchange({ subject: ada, audience: slug });
  assert.ok(got.accessToken.length > 10 && got.expiresIn > 0 && got.scope !== "");
  await assert.rejects(service.exchange({ subject: "grd_x", audience: slug }), refusal((e) => e.status === 400 && e.detail === "invalid_request"));
});
