// Looks at rendered pages: HTML by html-validate, accessibility by axe-core and the text that people read
// in a real browser, in both themes and two widths, and what is left without script. Prints one line for each finding and fails if there is one.
//
// node check.mjs <browser> <address of a page>...

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { HtmlValidate } from "html-validate";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const html = new HtmlValidate({
  root: true,
  extends: ["html-validate:standard", "html-validate:a11y"],
  // Who has no script has no other way to see fresh numbers; with script nothing reloads.
  rules: { "meta-refresh": "off" },
});
const themes = ["light", "dark"];
const widths = [1440, 390];

async function htmlFindings(address) {
  const reply = await fetch(address, { headers: { accept: "text/html" } });
  const report = await html.validateString(await reply.text());
  return report.results.flatMap((result) =>
    result.messages.map((message) => `${message.ruleId} at ${message.line}:${message.column}: ${message.message}`),
  );
}

async function accessibilityFindings(browser, address, colorScheme, width) {
  const context = await browser.newContext({ colorScheme, viewport: { width, height: 1000 } });
  const page = await context.newPage();
  await page.goto(address, { waitUntil: "load" });
  await page.evaluate(axe);
  const { violations, passes } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  const texts = await page.evaluate(textFindings);
  // On a wide screen no table hides columns, whatever the names in it.
  const hiding = await page.$$eval(".tbl", (tables) =>
    tables.filter((table) => table.scrollWidth > table.clientWidth + 1).map((table) => table.innerText.slice(0, 60)),
  );
  if (width > 1000) texts.push(...hiding.map((text) => `a table hides columns: ${text}`));
  await context.close();
  if (passes.length === 0) throw new Error(`axe looked at nothing on ${address}`);
  const findings = violations.flatMap((rule) =>
    rule.nodes.map((node) => `${rule.id} on ${node.target.join(" ")}: ${node.failureSummary.replace(/\s+/g, " ")}`),
  );
  findings.push(...texts);
  return overflow > 0 ? [...findings, `the page is ${overflow} px wider than the screen`] : findings;
}

// What is wrong with the text that people read: pieces that run together, marks of a source format, a
// separator with nothing before it.
function textFindings() {
  const isInline = (element) => getComputedStyle(element).display.startsWith("inline");
  const block = (node) => {
    let element = node.parentElement;
    while (isInline(element)) element = element.parentElement;
    return element;
  };
  const findings = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let before;
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const text = node.textContent;
    if (node.parentElement.closest("svg, script, noscript, pre, [hidden], .vh")) continue;
    if (!text.trim()) {
      if (before) before.text += " ";
      continue;
    }
    const here = block(node);
    if (text.includes("`") && !node.parentElement.closest("code")) findings.push(`raw backticks: ${text}`);
    const isFirst = before?.block !== here;
    if (isFirst && /^\s*[·,;]/.test(text)) findings.push(`begins with a separator: ${text}`);
    if (!isFirst && /[\p{L}\d.;:!?]$/u.test(before.text) && /^[\p{L}\d]/u.test(text)) {
      if (!parseFloat(getComputedStyle(node.parentElement).marginLeft)) findings.push(`runs together: ${before.text.slice(-30)}|${text.slice(0, 30)}`);
    }
    before = { block: here, text };
  }
  return findings;
}

// Without script there is nothing that only a script answers.
async function deadFindings(browser, address) {
  const context = await browser.newContext({ javaScriptEnabled: false, viewport: { width: 1440, height: 1000 } });
  const page = await context.newPage();
  await page.goto(address, { waitUntil: "load" });
  const dead = await page.locator("button[type=button]:visible").allInnerTexts();
  await context.close();
  return dead.map((text) => `a button that needs script is shown without it: ${text}`);
}

const [executablePath, ...addresses] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
let found = 0;
const tell = (where, findings) => {
  found += findings.length;
  for (const finding of findings) console.log(`${where} ${finding}`);
};
for (const address of addresses) {
  tell(address, await htmlFindings(address));
  tell(address, await deadFindings(browser, address));
  for (const theme of themes) {
    for (const width of widths) {
      const findings = await accessibilityFindings(browser, address, theme, width);
      tell(`${address} (${theme}, ${width} px)`, findings);
    }
  }
}
await browser.close();
process.exitCode = found === 0 ? 0 : 1;
