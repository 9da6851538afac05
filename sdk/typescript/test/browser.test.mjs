// The helper for pages, in a browser that is no more than the objects that it uses.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { beforeEach, test } from "node:test";

import { connect, returned } from "../dist/browser.js";

let popup, listeners, replaced;
beforeEach(() => {
  popup = { closed: false, location: {}, close: () => (popup.closed = true) };
  listeners = new Set();
  globalThis.open = () => popup;
  globalThis.addEventListener = (_, f) => listeners.add(f);
  globalThis.removeEventListener = (_, f) => listeners.delete(f);
  globalThis.history = { state: null, replaceState: (_, __, to) => (replaced = String(to)) };
});
const say = (origin, data, source = popup) => [...listeners].forEach((f) => f({ origin, data, source }));

test("it is small", () => {
  assert.ok(readFileSync(new URL("../dist/browser.js", import.meta.url)).length <= 2048);
});

test("what the page was returned to with is taken out of the address", () => {
  globalThis.location = { href: "https://app.example.com/connected?tab=1&link=l&result=r#top" };
  assert.deepEqual(returned(), { link: "l", result: "r" });
  assert.equal(replaced, "https://app.example.com/connected?tab=1#top");
  globalThis.location = { href: "https://app.example.com/connected?link=l&error=access_denied" };
  assert.deepEqual(returned(), { link: "l", error: "access_denied" });
  for (const query of ["", "?link=l", "?result=r", "?link=l&result=r&error=e"]) {
    globalThis.location = { href: "https://app.example.com/" + query };
    assert.equal(returned(), undefined);
  }
});

test("a window tells its result, and only that of grantd counts", async () => {
  const done = connect(Promise.resolve("https://grantd.example.com/connect/k"));
  await new Promise(setImmediate);
  assert.equal(popup.location.href, "https://grantd.example.com/connect/k");
  say("https://evil.example", { link: "l", result: "evil" });
  say("https://grantd.example.com", { link: "l", result: "evil" }, {});
  say("https://grantd.example.com", "hello");
  say("https://grantd.example.com", { link: "l", result: "r" });
  assert.deepEqual(await done, { link: "l", result: "r" });
  assert.equal(listeners.size, 0);
});

test("a window that is not opened, has no address or is closed rejects", async () => {
  globalThis.open = () => null;
  await assert.rejects(connect("https://grantd.example.com/connect/k"));
  globalThis.open = () => popup;
  await assert.rejects(connect(Promise.reject(new Error("no link"))), /no link/);
  assert.ok(popup.closed);
  await assert.rejects(connect("https://grantd.example.com/connect/k"), /closed/); // it is closed already
  assert.equal(listeners.size, 0);
});
