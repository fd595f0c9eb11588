// Drives the MCP Inspector's page in a browser, as a person would: it opens the page, connects to a running example, fills
// in the consent form, and calls whoami. The last line of the output is what the page shows then; so does the screenshot.
//
//   CLIENT_PORT=6274 node inspector.mjs v1|v2 http://localhost:3001/mcp usr_grace page.png /usr/bin/chromium
//
// v1 connects from the page itself (its connection type "Direct"), so the browser requires CORS of the server. v2 has no
// such type: its page talks to its own backend, and the browser opens only the consent form.
import { spawn } from 'node:child_process';
import { chromium } from 'playwright-core';

const port = process.env.CLIENT_PORT;
const origin = `http://localhost:${port}`;
const colleague = `http://colleague.example:${port}`; // the same page under an origin that the server's settings allow
const stranger = `http://stranger.example:${port}`; // and under one that they do not allow

// Pages can reach only loopback.
const browserFlags = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
  '--host-resolver-rules=MAP colleague.example 127.0.0.1, MAP stranger.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1',
];

const inspectors = {
  v1: {
    program: () => ['node_modules/inspector-v1/client/bin/client.js'],
    async connect(page, server) {
      await page.goto(`${origin}/?transport=streamable-http&serverUrl=${encodeURIComponent(server)}`);
      await page.getByRole('combobox', { name: 'Connection Type' }).click();
      await page.getByRole('option', { name: 'Direct' }).click();
      await page.getByRole('button', { name: 'Connect', exact: true }).click();
    },
    async whoami(page) {
      await page.getByText('Connected', { exact: true }).waitFor();
      await page.getByRole('tab', { name: 'Tools' }).click();
      await page.getByRole('button', { name: 'List Tools' }).click();
      await page.getByText('whoami', { exact: true }).first().click();
      await page.getByRole('button', { name: 'Run Tool' }).click();
      await page.getByRole('heading', { name: 'Tool Result: Success' }).scrollIntoViewIfNeeded();
    },
  },
  v2: {
    program: (server) => [
      'node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js', '--web', '--server-url', server, '--transport', 'http',
    ],
    async connect(page) {
      await page.goto(`${origin}/`);
      await page.getByRole('switch', { name: /^Connect or disconnect/ }).click({ force: true });
    },
    async whoami(page) {
      await page.getByText('Authorization complete').waitFor();
      await page.getByRole('radio', { name: 'Tools' }).waitFor({ state: 'attached' });
      await page.getByText('Tools', { exact: true }).first().click();
      await page.getByRole('button', { name: /^whoami/ }).click();
      await page.getByRole('button', { name: 'Execute Tool' }).click();
      await page.getByRole('heading', { name: 'Structured Output' }).scrollIntoViewIfNeeded();
    },
  },
};

async function main(version, server, user, screenshot, executablePath) {
  const inspector = inspectors[version];
  const process_ = spawn(process.execPath, inspector.program(server), {
    env: { ...process.env, DANGEROUSLY_OMIT_AUTH: 'true', MCP_INSPECTOR_SECRET_STORE: 'memory' }, stdio: ['ignore', 2, 2],
  });
  let browser;
  try {
    await reachable(origin, process_);
    browser = await chromium.launch({ executablePath, args: browserFlags });
    const page = await browser.newPage({ viewport: { width: 1280, height: 1100 } });
    page.setDefaultTimeout(60_000);
    const fromPage = []; // what scripts of the page got from the MCP server
    page.on('response', (response) => {
      if (response.url() === server && response.request().resourceType() !== 'document') {
        fromPage.push({ method: response.request().method(), status: response.status(), allowed: response.headers()['access-control-allow-origin'] });
      }
    });
    try {
      await inspector.connect(page, server);
      await page.locator(`input[name=user][value=${user}]`).check(); // the consent form
      await page.getByRole('button', { name: 'Approve' }).click();
      await inspector.whoami(page);
      await page.getByText(user).last().scrollIntoViewIfNeeded();
    } catch (error) {
      console.error(await page.locator('body').ariaSnapshot());
      throw error;
    } finally {
      await page.screenshot({ path: screenshot });
    }
    const shown = await page.locator('body').innerText();
    console.log(JSON.stringify(fromPage));
    check(version, fromPage);
    if (version === 'v1') {
      await control(browser, server);
    }
    const scopes = /scopes"?:?\s*\[[^\]]*\]/.exec(shown)?.[0].match(/[a-z]+:[a-z]+/g) ?? [];
    console.log(JSON.stringify({ userId: field(shown, 'userId'), organizationId: field(shown, 'organizationId'), scopes }));
  } finally {
    await browser?.close();
    process_.kill();
  }
}

/** Throws unless v1 talked to the server from the page, and so with CORS, and v2 did not. */
function check(version, fromPage) {
  const readable = fromPage.filter(({ allowed }) => allowed === origin);
  if (version === 'v2' && fromPage.length > 0) {
    throw new Error('v2 talks to the server from its page now; check it for CORS too');
  }
  if (version === 'v1' && (readable.length !== fromPage.length || !readable.some(({ status }) => status === 401) || readable.filter(({ status }) => status === 200).length < 3)) {
    throw new Error(`the page did not get a 401 and three answers from the server with ${origin} allowed`);
  }
}

/** Checks that the browser requires CORS: a script of an allowed origin may read responses, one of another origin may not. */
async function control(browser, server) {
  const script = async (url) => {
    const post = (mode) => fetch(url, { method: 'POST', mode, body: '{}', headers: mode === 'cors' ? { 'Content-Type': 'application/json' } : {} });
    const reached = (await post('no-cors')).type; // throws when no server answers
    try {
      const response = await post('cors');
      return `${reached} ${response.status} ${response.headers.get('WWW-Authenticate')?.slice(0, 6)}`;
    } catch (error) {
      return `${reached} ${error.name}`;
    }
  };
  for (const [from, want] of [[origin, 'opaque 401 Bearer'], [colleague, 'opaque 401 Bearer'], [stranger, 'opaque TypeError']]) {
    const page = await browser.newPage();
    await page.goto(`${from}/mcp.svg`);
    const got = await page.evaluate(script, server);
    if (got !== want) {
      throw new Error(`a script of ${from} gets "${got}", not "${want}"`);
    }
    await page.close();
  }
}

function field(shown, name) {
  return new RegExp(`"?${name}"?\\s*:\\s*"([^"]*)"`).exec(shown)?.[1];
}

async function reachable(address, process_) {
  for (const end = Date.now() + 60_000; Date.now() < end; ) {
    if (process_.exitCode !== null) {
      throw new Error(`the Inspector ended with ${process_.exitCode}`);
    }
    try {
      await (await fetch(address)).text();
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  throw new Error(`no server answers at ${address}`);
}

if (process.argv.length !== 7 || !(process.argv[2] in inspectors) || !port) {
  console.error('usage: CLIENT_PORT=6274 node inspector.mjs v1|v2 URL USER SCREENSHOT CHROMIUM');
  process.exit(2);
}
main(...process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
