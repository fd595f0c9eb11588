// The client of the TypeScript SDK's second major version signs in at a running example and calls its tools:
//
//   npm ci && node typescript-v2.mjs http://localhost:3001/mcp [usr_grace]
//
// It works only with the local environment, because it fills in the consent form by itself. The last line of its output is
// the answer of whoami; the exit code is 0 when everything worked.
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';
import { Provider } from '../e2e-typescript/provider.mjs';

const info = { name: 'mcpauth-clients-typescript-v2', version: '0.1.0' };
const options = { versionNegotiation: { mode: 'auto' } }; // asks for the newest revision first

async function main(address, user = 'usr_ada') {
  const url = new URL(address);
  const provider = new Provider(user);

  // The first attempt is refused. The transport has discovered, registered and asked for consent by then.
  const transport = new StreamableHTTPClientTransport(url, { authProvider: provider });
  try {
    await new Client(info, options).connect(transport);
    throw new Error('the server accepted a client without a token');
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) {
      throw error;
    }
  }
  await transport.finishAuth(provider.answer);

  const client = new Client(info, options);
  await client.connect(new StreamableHTTPClientTransport(url, { authProvider: provider }));
  console.log(`MCP ${client.getNegotiatedProtocolVersion()}`);
  const { tools } = await client.listTools();
  console.log(`tools: ${tools.map((tool) => tool.name).sort().join(', ')}`);
  const identity = JSON.parse(text(await client.callTool({ name: 'whoami', arguments: {} })));
  await client.close();
  console.log(JSON.stringify(identity));
}

function text(result) {
  if (result.isError) {
    throw new Error(`the tool answers: ${result.content[0]?.text}`);
  }
  return result.content[0].text;
}

if (process.argv.length < 3 || process.argv.length > 4) {
  console.error('usage: node typescript-v2.mjs URL [USER]');
  process.exit(2);
}
main(...process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
