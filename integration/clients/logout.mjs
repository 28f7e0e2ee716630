// Acts as an OpenID provider that ends sessions over the back channel, by logout tokens that jose
// signs in the shapes of Keycloak, Okta and Auth0. scripts_test.go writes the addresses and the
// provider's key to standard input.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { text } from 'node:stream/consumers'
import { SignJWT, importJWK } from 'jose'

const { issuer, receiver, audience, key, sessions } = JSON.parse(await text(process.stdin))
const alg = key.alg
const signer = await importJWK(key, alg)
const events = { 'http://schemas.openid.net/event/backchannel-logout': {} }

const sign = (typ, claims) =>
  new SignJWT(claims).setProtectedHeader({ alg, kid: key.kid, ...(typ ? { typ } : {}) }).sign(signer)

const deliver = (token) =>
  fetch(receiver, { method: 'POST', body: new URLSearchParams({ logout_token: token }) })

const now = Math.floor(Date.now() / 1000)
const common = () => ({ iss: issuer, aud: audience, iat: now, jti: randomUUID(), events })

const shapes = {
  Keycloak: ({ sub, sid }) => ['logout+jwt', { ...common(), exp: now + 120, typ: 'Logout', sub, sid }],
  'Keycloak, older': ({ sub, sid }) => ['JWT', { ...common(), typ: 'Logout', sub, sid, aud: [audience] }],
  Okta: ({ sub, sid }) => ['logout+jwt', { ...common(), exp: now + 300, sub, sid }],
  Auth0: ({ sub, sid }) => ['logout+jwt', { ...common(), exp: now + 120, sub, sid, trace_id: randomUUID() }],
  'a session without its user': ({ sid }) => ['logout+jwt', { ...common(), exp: now + 120, sid }],
}

for (const [name, shape] of Object.entries(shapes)) {
  const token = await sign(...shape(sessions[name]))
  for (const delivery of ['first', 'again']) {
    const response = await deliver(token)
    assert.equal(response.status, 200, `${name}, ${delivery}: ${await response.text()}`)
    assert.match(response.headers.get('cache-control'), /no-store/)
  }
  console.log(`${name}: ended`)
}

const { sub, sid } = sessions.kept
const wrong = {
  'with a nonce': [undefined, { nonce: 'n' }],
  'without events': [undefined, { events: undefined }],
  'with another event': [undefined, { events: { 'http://schemas.openid.net/event/other': {} } }],
  'for another audience': [undefined, { aud: 'another-app' }],
  'of another issuer': [undefined, { iss: 'https://another.example' }],
  'of another type': ['at+jwt', {}],
  'without sub and sid': [undefined, { sub: undefined, sid: undefined }],
  expired: [undefined, { iat: now - 7200, exp: now - 3600 }],
}
for (const [name, [typ, claims]] of Object.entries(wrong)) {
  const token = await sign(typ ?? 'logout+jwt', { ...common(), exp: now + 120, sub, sid, ...claims })
  const response = await deliver(token)
  assert.equal(response.status, 400, name)
  assert.equal((await response.json()).error, 'invalid_request', name)
}
const [header, payload] = (await sign('logout+jwt', { ...common(), exp: now + 120, sub, sid })).split('.')
assert.equal((await deliver(`${header}.${payload}.${'A'.repeat(86)}`)).status, 400)
console.log(`${Object.keys(wrong).length + 1} logout tokens refused`)
