// The TypeScript SDK's client signs in at a running example and calls its tools:
//
//   npm ci && node client.mjs http://localhost:3001/mcp [usr_grace]
//
// With report it calls only the tool of that name, which outlives a short token. With refresh it calls whoami again when its
// token has ended, and must not be asked to sign in again.
//
// It works with the local environment only, since it fills in the consent form by itself. The last line of its output is
// the answer of whoami; the exit code is 0 when everything worked.
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { Provider } from './provider.mjs';

async function connect(url, provider) {
  const client = new Client({ name: 'mcpauth-e2e-typescript', version: '0.1.0' });
  await client.connect(new StreamableHTTPClientTransport(url, { authProvider: provider }));
  return client;
}

async function main(address, user = 'usr_ada', report = '') {
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
  await transport.finishAuth(provider.answer.get('code'));

  const client = await connect(url, provider);
  if (report === 'refresh') {
    await outlive(client, provider);
    return;
  }
  if (report) {
    await work(client);
    return;
  }
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

/** Calls a tool before and after the end of the token: the transport gets 401, and refreshes the token by itself. */
async function outlive(client, provider) {
  const whoami = async () => JSON.parse(text(await client.callTool({ name: 'whoami', arguments: {} })));
  const before = await whoami();
  provider.answer = undefined; // of the sign-in
  await new Promise((resolve) => setTimeout(resolve, Date.parse(before.expiresAt) - Date.now() + 1500));
  const after = await whoami();
  if (provider.answer || after.userId !== before.userId || after.expiresAt <= before.expiresAt) {
    throw new Error(`before ${JSON.stringify(before)}, after ${JSON.stringify(after)}, signed in again: ${Boolean(provider.answer)}`);
  }
  console.log(`refreshed: ${after.userId}`);
  await client.close();
}

/** Calls a tool that works for longer than the token lives: what was let in gets its answer. */
async function work(client) {
  const onprogress = ({ progress, total }) => console.log(`progress: ${progress} of ${total}`);
  const answer = await client.callTool({ name: 'report', arguments: { seconds: 5 } }, undefined, { onprogress, timeout: 20000 });
  console.log(`report: ${text(answer)}`);
  await client.close();
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
  await transport.finishAuth(provider.answer.get('code'));
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

if (process.argv.length < 3 || process.argv.length > 5) {
  console.error('usage: node client.mjs URL [USER [report|refresh]]');
  process.exit(2);
}
main(...process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1); // whatever streams are open
});
