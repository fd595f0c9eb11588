// The TypeScript SDK's client signs in at a running example and calls its tools:
//
//   npm ci && node client.mjs http://localhost:3001/mcp [usr_grace]
//
// It works with the local environment only, since it fills in the consent form by itself. The last line of its output is
// the answer of whoami; the exit code is 0 when everything worked.
import { randomUUID } from 'node:crypto';
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

// Nobody listens there: the address is where the code is read from, not where it is delivered.
const redirectUrl = 'http://127.0.0.1:49152/callback';

/** Keeps everything in memory, and the person's consent at hand. */
class Provider {
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
  code;

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
    this.code = answer.get('code');
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

async function connect(url, provider) {
  const client = new Client({ name: 'mcpauth-e2e-typescript', version: '0.1.0' });
  await client.connect(new StreamableHTTPClientTransport(url, { authProvider: provider }));
  return client;
}

async function main(address, user = 'usr_ada') {
  const url = new URL(address);
  const provider = new Provider(user);

  // The first attempt is refused. The transport discovers, registers and asks for consent by then.
  const transport = new StreamableHTTPClientTransport(url, { authProvider: provider });
  try {
    await new Client({ name: 'mcpauth-e2e-typescript', version: '0.1.0' }).connect(transport);
    throw new Error('the server let a client without a token in');
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) {
      throw error;
    }
  }
  await transport.finishAuth(provider.code);

  const client = await connect(url, provider);
  const { tools } = await client.listTools();
  console.log(`tools: ${tools.map((tool) => tool.name).sort().join(', ')}`);
  const greeting = await client.callTool({ name: 'greet', arguments: { name: 'TypeScript' } });
  console.log(text(greeting));
  const identity = JSON.parse(text(await client.callTool({ name: 'whoami', arguments: {} })));
  await client.close();
  await stepUp(url, provider, user);
  if (identity.userId !== user) {
    throw new Error(`signed in as ${user}, but the server says ${identity.userId}`);
  }
  console.log(JSON.stringify(identity));
}

/** Calls a tool that needs a scope which nobody asked for yet: the transport gets 403 and asks for consent. */
async function stepUp(url, provider, user) {
  const transport = new StreamableHTTPClientTransport(url, { authProvider: provider });
  const client = new Client({ name: 'mcpauth-e2e-typescript', version: '0.1.0' });
  await client.connect(transport);
  const announce = { name: 'announce', arguments: { text: 'TypeScript was here' } };
  try {
    await client.callTool(announce);
    throw new Error('announce ran without its scope');
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) {
      throw error;
    }
  }
  await transport.finishAuth(provider.code);
  const answer = text(await client.callTool(announce));
  await client.close();
  if (answer !== `${user} announces: TypeScript was here`) {
    throw new Error(`announce answers ${answer}`);
  }
  console.log(`stepped up: ${answer}`);
}

function text(result) {
  if (result.isError) {
    throw new Error(`the tool answers: ${result.content[0]?.text}`);
  }
  return result.content[0].text;
}

if (process.argv.length < 3 || process.argv.length > 4) {
  console.error('usage: node client.mjs URL [USER]');
  process.exit(2);
}
main(...process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
