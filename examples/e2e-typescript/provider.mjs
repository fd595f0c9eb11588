// What the TypeScript SDKs ask of a program that signs somebody in. It depends on neither of them.
import { randomUUID } from 'node:crypto';

// Nobody listens there: the address is where the code is read from, not where it is delivered.
const redirectUrl = 'http://127.0.0.1:49152/callback';

/** Keeps everything in memory, and the person's consent at hand. */
export class Provider {
  redirectUrl = redirectUrl;
  clientMetadata = {
    client_name: 'mcpauth e2e, TypeScript',
    redirect_uris: [redirectUrl],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
  };
  #state = randomUUID();
  #client;
  #tokens;
  #verifier;
  answer; // the code, and the iss (RFC 9207) with it

  constructor(user) {
    this.user = user;
  }

  state() {
    return this.#state;
  }
  clientInformation() {
    return this.#client;
  }
  saveClientInformation(client) {
    console.log(`registered as ${client.client_id}`);
    this.#client = client;
  }
  tokens() {
    return this.#tokens;
  }
  saveTokens(tokens) {
    console.log(`token with the scopes ${tokens.scope}${tokens.refresh_token ? ', and a refresh token' : ''}`);
    this.#tokens = tokens;
  }
  saveCodeVerifier(verifier) {
    this.#verifier = verifier;
  }
  codeVerifier() {
    return this.#verifier;
  }
  async redirectToAuthorization(url) {
    console.log(`authorization at ${url.origin}${url.pathname} for ${url.searchParams.get('resource')}`);
    const answer = await consent(url, this.user);
    if (answer.get('state') !== this.#state) {
      throw new Error('the state came back changed');
    }
    this.answer = answer;
  }
}

/** Opens the consent page, approves as user, and returns what the redirect to the client carries. */
async function consent(url, user) {
  const page = await fetch(url);
  const html = await page.text();
  if (!page.ok) {
    throw new Error(`the consent page: ${page.status} ${html}`);
  }
  const action = field(html, /<form[^>]* action="([^"]+)"/);
  const form = new URLSearchParams({ csrf: field(html, /name="csrf" value="([^"]*)"/), user, decision: 'approve' });
  const response = await fetch(new URL(action, url), { method: 'POST', body: form, redirect: 'manual' });
  const location = response.headers.get('location');
  if (!location?.startsWith(redirectUrl)) {
    throw new Error(`the consent form: ${response.status} ${await response.text()}`);
  }
  const answer = new URL(location).searchParams;
  if (!answer.get('code')) {
    throw new Error(`no code, but ${answer}`);
  }
  return answer;
}

function field(html, pattern) {
  const match = pattern.exec(html);
  if (!match) {
    throw new Error(`the consent page has no ${pattern}`);
  }
  return match[1].replaceAll('&amp;', '&').replaceAll('&#43;', '+').replaceAll('&#34;', '"');
}
