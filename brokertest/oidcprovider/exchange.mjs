// A client of grantd's token exchange and introspection, by openid-client: it reads the metadata, exchanges, asks about what
// it got, and is refused. It prints what it saw as JSON.
import * as oauth from 'openid-client'

const { GRANTD, CLIENT_ID, CLIENT_SECRET, SUBJECT, AUDIENCE } = process.env
const config = await oauth.discovery(new URL(GRANTD), CLIENT_ID, undefined, oauth.ClientSecretBasic(CLIENT_SECRET), {
  algorithm: 'oauth2',
  execute: [oauth.allowInsecureRequests],
})
const exchange = (audience) =>
  oauth.genericGrantRequest(config, 'urn:ietf:params:oauth:grant-type:token-exchange', {
    subject_token: SUBJECT,
    subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    audience,
  })
const { access_token } = await exchange(AUDIENCE)
const { active, sub } = await oauth.tokenIntrospection(config, access_token)
const refused = await exchange('nowhere').then(() => 'nothing', (e) => e.error)
console.log(JSON.stringify({ access_token, active, sub, refused }))
