// A certified OpenID Connect server on a free loopback port, with interactions that a test can walk through
// without a browser. Options come as JSON in OIDC_OPTIONS; the one line on standard output that starts with "{"
// says where it listens. It ends when its standard input does, so it cannot outlive the test that started it.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';

import Provider from 'oidc-provider';

const options = JSON.parse(process.env.OIDC_OPTIONS);

const models = new Map();

// Everything lives in maps without a limit (the library's own memory adapter forgets beyond 1,000 entries), and
// nothing is dropped when it expires: /test/state then counts what was really destroyed or revoked.
class Memory {
  constructor(name) {
    if (!models.has(name)) models.set(name, new Map());
    this.entries = models.get(name);
  }

  async upsert(id, payload) { this.entries.set(id, payload); }

  async find(id) { return this.entries.get(id); }

  async findByUid(uid) { return [...this.entries.values()].find((entry) => entry.uid === uid); }

  async findByUserCode(userCode) { return [...this.entries.values()].find((entry) => entry.userCode === userCode); }

  async consume(id) { this.entries.get(id).consumed = now(); }

  async destroy(id) { this.entries.delete(id); }

  async revokeByGrantId(grantId) {
    for (const [id, entry] of this.entries) {
      if (entry.grantId === grantId) this.entries.delete(id);
    }
  }
}

function signingKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), alg: 'RS256', use: 'sig' };
}

const provider = (issuer) => new Provider(issuer, {
  adapter: Memory,
  clients: options.clients,
  // Any login name is an account: what is tested is what happens after the consent.
  findAccount: (_ctx, sub) => ({
    accountId: sub,
    claims: () => ({
      sub,
      email: `${sub}@example.test`,
      email_verified: true,
      name: sub[0].toUpperCase() + sub.slice(1),
    }),
  }),
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
  // The standard's way is claims at userinfo only; many servers put them into the id_token as well.
  conformIdTokenClaims: !options.claimsInIDToken,
  pkce: { required: () => true },
  rotateRefreshToken: true,
  scopes: ['openid', 'offline_access'],
  ttl: {
    AccessToken: options.accessTokenTTL,
    AuthorizationCode: 60,
    DeviceCode: 600,
    Grant: 14 * 24 * 3600,
    IdToken: 3600,
    Interaction: 600,
    RefreshToken: 14 * 24 * 3600,
    Session: 14 * 24 * 3600,
  },
  // The default of 15 seconds would keep tokens alive that a test made short-lived on purpose.
  clockTolerance: 0,
  cookies: { keys: [randomBytes(32).toString('hex')] },
  jwks: { keys: [signingKey()] },
  features: {
    devInteractions: { enabled: false },
    deviceFlow: { enabled: true },
    introspection: { enabled: true },
    resourceIndicators: { enabled: false },
    revocation: { enabled: options.revocation },
    userinfo: { enabled: true },
  },
  interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
});

// interact is the person: whoever `login` names signs in and consents to all that was asked for, or denies it.
async function interact(op, request, response, answers) {
  const { params, prompt, session, grantId } = await op.interactionDetails(request, response);
  if (answers.has('deny')) {
    const result = { error: 'access_denied', error_description: 'the person said no' };
    return op.interactionFinished(request, response, result);
  }

  const accountId = session?.accountId ?? answers.get('login') ?? params.login_hint ?? 'ada';
  const grant = (grantId && await op.Grant.find(grantId)) || new op.Grant({ accountId, clientId: params.client_id });
  if (params.scope) grant.addOIDCScope(params.scope);
  if (prompt.details.missingOIDCClaims) grant.addOIDCClaims(prompt.details.missingOIDCClaims);
  return op.interactionFinished(request, response, { login: { accountId }, consent: { grantId: await grant.save() } });
}

const held = (model) => [...models.get(model)?.values() ?? []];

const now = () => Math.floor(Date.now() / 1000);

// state counts what the server still holds, and how many of its tokens a client could still use.
function state() {
  const counts = Object.fromEntries([...models].map(([name, entries]) => [name, entries.size]));
  counts.LiveRefreshToken = held('RefreshToken').filter((entry) => !entry.consumed).length;
  counts.LiveAccessToken = held('AccessToken').filter((entry) => entry.exp > now()).length;
  return counts;
}

// expire ends the time of all access tokens of a person.
function expire(login) {
  for (const entry of held('AccessToken').filter((each) => each.accountId === login)) entry.exp = now() - 1;
}

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const op = provider(issuer);
  const callback = op.callback();

  op.on('server_error', (_ctx, error) => console.error(error));

  server.on('request', (request, response) => {
    const { pathname, searchParams } = new URL(request.url, issuer);
    if (pathname === '/test/state') {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(state()));
    } else if (pathname === '/test/expire') {
      expire(searchParams.get('login'));
      response.end();
    } else if (pathname.startsWith('/interaction/')) {
      interact(op, request, response, searchParams).catch((error) => {
        response.statusCode = 400;
        response.end(`${error.error ?? error}: ${error.error_description ?? ''}`);
      });
    } else {
      callback(request, response);
    }
  });

  console.log(JSON.stringify({ issuer }));
});

process.stdin.resume().on('end', () => process.exit(0));
