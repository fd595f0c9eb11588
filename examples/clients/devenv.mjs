// Drives the page of the local environment in a browser, as the person does who develops. It says on stdout what it waits for:
// "open" when the page is live, so that a user may sign in, and at the end a line of JSON with what it saw.
//
//   node devenv.mjs http://127.0.0.1:3002 Grace screenshots/devenv /usr/bin/chromium
import { chromium } from 'playwright-core';

const [url, name, screenshot, executablePath] = process.argv.slice(2);
const evil = 'http://evil.example';
const browser = await chromium.launch({
  executablePath,
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking',
    '--host-resolver-rules=MAP evil.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1'],
});
const saw = {};
try {
  const context = await browser.newContext({ viewport: { width: 1280, height: 1000 } });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const complaints = []; // of the browser about the page, such as about its Content-Security-Policy
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));

  // The page shows the sign-in while it happens, without being loaded again.
  await page.goto(url);
  await page.getByText('live', { exact: true }).waitFor();
  await page.evaluate(() => { window.sameDocument = true; });
  console.log('open');
  const session = page.locator('#sessions article').filter({ hasText: name });
  await session.waitFor();
  await page.locator('#requests').getByText('Token by authorization_code').first().waitFor();
  await session.locator('summary').click();
  await session.getByText('"sub"').waitFor();
  saw.live = await page.evaluate(() => window.sameDocument === true);
  const left = session.locator('time');
  const before = await left.innerText();
  await page.waitForFunction(([text]) => document.querySelector('#sessions time').innerText !== text, [before]);
  saw.counts = /^\d+ (min|s)/.test(before);
  await page.evaluate(() => document.querySelector('#keys button').focus());

  // A button ends the session, and the page says so.
  await session.getByRole('button', { name: 'End session' }).click();
  await page.getByRole('status').getByText('The session has ended.').waitFor();
  await session.getByText(/^ended /).waitFor();
  await page.locator('#webhooks').getByText('delivered').first().waitFor();
  await page.getByRole('button', { name: 'down', exact: true }).click();
  await page.locator('#status').getByText('The environment is down').waitFor();
  await page.getByRole('button', { name: 'up', exact: true }).click();
  await page.locator('#status').getByText('The environment is down').waitFor({ state: 'detached' });
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: `${screenshot}-${colorScheme}.png`, fullPage: true });
  }
  const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
  await page.setViewportSize({ width: 390, height: 844 });
  saw.fits = !wide && !(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth));
  saw.complaints = complaints;

  // Without scripts, all but the live part works.
  const plain = await (await browser.newContext({ javaScriptEnabled: false })).newPage();
  await plain.goto(url);
  await plain.getByRole('button', { name: 'Rotate' }).click();
  await plain.getByText('A new key signs.').waitFor();
  saw.plain = await plain.getByRole('button', { name: 'Withdraw' }).count();

  // A page of the web can neither read it, nor press its buttons, nor show it.
  const csrf = await page.locator('input[name=csrf]').first().inputValue();
  await context.route(`${evil}/**`, (route) => route.fulfill({ contentType: 'text/html', body: '<!DOCTYPE html><title>evil</title>' }));
  const hostile = await context.newPage();
  await hostile.goto(`${evil}/`);
  saw.hostile = await hostile.evaluate(async ([target, token]) => {
    const tried = {};
    const attempt = async (what, call) => { try { tried[what] = await call(); } catch { tried[what] = 'refused'; } };
    const form = new URLSearchParams({ csrf: token, target: 'org_analytical' });
    await attempt('read', async () => (await fetch(`${target}/`)).status);
    await attempt('read events', async () => (await fetch(`${target}/devenv/events`)).status);
    await attempt('press', async () => (await fetch(`${target}/devenv/delete-organization`, { method: 'POST', body: form, mode: 'no-cors' })).type);
    await attempt('listen', () => new Promise((resolve, reject) => {
      const events = new EventSource(`${target}/devenv/events`);
      events.onopen = () => resolve('opened');
      events.onerror = () => { events.close(); reject(new Error()); };
    }));
    await attempt('use its script', () => new Promise((resolve, reject) => {
      const script = document.createElement('script');
      script.onload = () => resolve('loaded');
      script.onerror = reject;
      script.src = `${target}/devenv/live.js`;
      document.head.append(script);
    }));
    return tried;
  }, [url, csrf]);
  await hostile.setContent(`<iframe src="${url}/"></iframe><form method="post" action="${url}/devenv/delete-organization"><input name="csrf" value="${csrf}"><input name="target" value="org_analytical"><button>x</button></form>`);
  await hostile.waitForLoadState('networkidle');
  const frame = hostile.frames().find((f) => f !== hostile.mainFrame());
  saw.framed = frame ? (await frame.content()).includes('Local Scalekit environment') : false;
  await hostile.getByRole('button').click();
  await hostile.getByText('answers only to the environment').waitFor();
} finally {
  await browser.close();
}
console.log(JSON.stringify(saw));
