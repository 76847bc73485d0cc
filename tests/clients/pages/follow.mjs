// Follows links of a page. Prints for each the row that it is in, where it leads to, and the heading there.
//
// node follow.mjs <browser> <address> <selector of a link>...

import { chromium } from "playwright-core";

const [executablePath, address, ...selectors] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const page = await browser.newPage();
for (const selector of selectors) {
  await page.goto(address, { waitUntil: "load" });
  const link = page.locator(selector).first();
  const row = await link.locator("xpath=ancestor::tr").innerText();
  await Promise.all([page.waitForURL((url) => url.href !== address), link.click()]);
  const heading = await page.locator("h1").first().innerText();
  console.log([row.replace(/\s+/g, " "), page.url(), heading].join("|"));
}
await browser.close();
