// Looks at rendered pages: HTML by html-validate, accessibility by axe-core in a real browser, in
// both themes and two widths. Prints one line for each finding and fails if there is one.
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
  await context.close();
  if (passes.length === 0) throw new Error(`axe looked at nothing on ${address}`);
  const findings = violations.flatMap((rule) =>
    rule.nodes.map((node) => `${rule.id} on ${node.target.join(" ")}: ${node.failureSummary.replace(/\s+/g, " ")}`),
  );
  return overflow > 0 ? [...findings, `the page is ${overflow} px wider than the screen`] : findings;
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
  for (const theme of themes) {
    for (const width of widths) {
      const findings = await accessibilityFindings(browser, address, theme, width);
      tell(`${address} (${theme}, ${width} px)`, findings);
    }
  }
}
await browser.close();
process.exitCode = found === 0 ? 0 : 1;
