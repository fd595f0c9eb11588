// The TypeScript SDK's client calls tools, one after the other, and signs in where it is told to:
//
//   npm ci && node prompts.mjs http://localhost:3001/mcp read send read send
//
// The last line of its output says how often a person was asked by then, for each tool.
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { Provider } from './provider.mjs';

class CountingProvider extends Provider {
  prompts = 0;
  async redirectToAuthorization(url) {
    this.prompts++;
    console.log(`asked for ${url.searchParams.get('scope')}`);
    await super.redirectToAuthorization(url);
  }
}

async function main(address, ...tools) {
  const url = new URL(address);
  const provider = new CountingProvider('usr_ada');
  let transport = new StreamableHTTPClientTransport(url, { authProvider: provider });
  let client = new Client({ name: 'mcpauth-e2e-typescript', version: '0.1.0' });
  try {
    await client.connect(transport);
  } catch (error) {
    await signIn(error, transport, provider);
    transport = new StreamableHTTPClientTransport(url, { authProvider: provider });
    client = new Client({ name: 'mcpauth-e2e-typescript', version: '0.1.0' });
    await client.connect(transport);
  }
  const counts = [`connect ${provider.prompts}`];
  await client.listTools();
  for (const name of tools) {
    try {
      await client.callTool({ name, arguments: {} });
    } catch (error) {
      await signIn(error, transport, provider);
      await client.callTool({ name, arguments: {} });
    }
    counts.push(`${name} ${provider.prompts}`);
  }
  await client.close();
  console.log(`prompts: ${counts.join(', ')}`);
}

async function signIn(error, transport, provider) {
  if (!(error instanceof UnauthorizedError)) {
    throw error;
  }
  await transport.finishAuth(provider.answer.get('code'));
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1); // whatever streams are open
});
