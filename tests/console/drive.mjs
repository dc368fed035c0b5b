// Drives the console with Chromium and prints one JSON document about what it saw.
// Usage: node drive.mjs ORIGIN TOKEN [DIRECTORY of screenshots]
import { readFileSync } from 'node:fs';
import puppeteer from 'puppeteer-core';

const [origin, token, pictures] = process.argv.slice(2);
const axe = readFileSync(new URL('./node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');
const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--force-color-profile=srgb'],
});
const report = { violations: [], console: [], dialogs: 0, foreign: [], pages: {} };

async function tab(setup = {}) {
  const page = await browser.newPage();
  page.on('console', (message) => message.type() === 'error' && report.console.push(message.text()));
  page.on('pageerror', (error) => report.console.push(String(error)));
  page.on('dialog', (dialog) => { report.dialogs += 1; dialog.dismiss(); });
  page.on('request', (request) => request.url().startsWith(origin) || request.url().startsWith('data:') || report.foreign.push(request.url()));
  await page.setViewport({ width: setup.width ?? 1280, height: setup.height ?? 860 });
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: setup.scheme ?? 'light' }]);
  await page.setJavaScriptEnabled(setup.script ?? true);
  return page;
}

const open = (page, path) => page.goto(origin + path, { waitUntil: 'domcontentloaded' });

// The login, with a form.
const first = await tab();
await open(first, '/');
await first.type('input[name=token]', token);
await Promise.all([first.waitForNavigation({ waitUntil: 'domcontentloaded' }), first.click('button')]);
report.after_login = new URL(first.url()).pathname;

// Every page: accessibility, size, time; wide and narrow, light and dark.
await open(first, '/requests?refused=1');
const one = await first.$eval('tbody a', (link) => link.getAttribute('href')).catch(() => null);
const paths = { now: '/', requests: '/requests', check: '/check', configuration: '/configuration', help: '/help', ...(process.env.INBOX ? { deliveries: '/deliveries', dead: '/dead' } : {}), ...(one ? { request: one } : {}) };
for (const [name, path] of Object.entries(paths)) {
  for (const [kind, setup] of Object.entries({
    wide: {}, dark: { scheme: 'dark' }, narrow: { width: 390, height: 844 }, 'narrow-dark': { width: 390, height: 844, scheme: 'dark' },
  })) {
    const page = await tab(setup);
    const response = await open(page, path);
    if (kind === 'wide') {
      const timing = response.timing();
      report.pages[name] = {
        status: response.status(),
        bytes: (await response.buffer()).length,
        milliseconds: timing.receiveHeadersEnd - timing.sendEnd,
        title: await page.title(),
      };
    }
    // axe runs in a world of its own: the policy of the page does not hold there.
    const session = await page.createCDPSession();
    const { frameTree } = await session.send('Page.getFrameTree');
    const { executionContextId } = await session.send('Page.createIsolatedWorld', { frameId: frameTree.frame.id });
    const run = async (expression) => (await session.send('Runtime.evaluate', { expression, contextId: executionContextId, awaitPromise: true, returnByValue: true })).result.value;
    await run(axe);
    const found = await run("axe.run(document).then((result) => result.violations.map((one) => one.id + ': ' + one.nodes.map((node) => node.html.slice(0, 160)).slice(0, 3).join(' | ')))");
    for (const one of found ?? ['axe did not run']) report.violations.push(`${name} ${kind}: ${one}`);
    report.pages[name].overflow ||= await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
    if (pictures) await page.screenshot({ path: `${pictures}/${name}-${kind}.png`, fullPage: false });
    await page.close();
  }
}

// Live: a row appears by itself.
const live = await tab();
await open(live, '/requests');
await live.waitForSelector('.live.on', { timeout: 20000 }).catch(() => {});
report.live = await live.$eval('.live', (mark) => mark.className).catch(() => null);
const before = await live.$$eval('tbody tr', (rows) => rows.length);
if (process.env.SEND) {
  await fetch(process.env.SEND, { method: 'POST', body: '{}' });
  await live.waitForFunction((count) => document.querySelectorAll('tbody tr').length > count || document.querySelector('tr.fresh'), { timeout: 20000 }, before).catch(() => {});
  report.appeared = await live.$$eval('tr.fresh', (rows) => rows.length);
}

// Without a script, every page shows its content.
const plain = await tab({ script: false });
await open(plain, '/requests');
report.rows_without_script = (await plain.$$('tbody tr')).length;
await open(plain, '/check');
await plain.type('textarea', 'POST /nowhere HTTP/1.1\nHost: h\n\n{}');
await Promise.all([plain.waitForNavigation({ waitUntil: 'domcontentloaded' }), plain.click('main button[type=submit]')]);
report.checked_without_script = (await plain.$$('section.card')).length;
report.scripts_of_senders = await first.evaluate(() => window.pwned ?? null);
await browser.close();
console.log(JSON.stringify(report));
