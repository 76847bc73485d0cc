// Looks at what is seen of a page before anybody scrolls. Prints each element that is not there, empty or
// not whole above the fold, and fails if there is one.
//
// node fold.mjs <browser> <address> <width> <height> <selector>...

import { chromium } from "playwright-core";

const [executablePath, address, width, height, ...selectors] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const context = await browser.newContext({ viewport: { width: Number(width), height: Number(height) } });
const page = await context.newPage();
await page.goto(address, { waitUntil: "load" });
for (const selector of selectors) {
  const element = page.locator(selector).first();
  const box = (await element.count()) ? await element.boundingBox() : null;
  const text = box && (await element.innerText()).trim();
  if (!text) console.log(`${selector} is not there or says nothing`);
  else if (box.y + box.height > Number(height)) {
    console.log(`${selector} ends at ${Math.round(box.y + box.height)} px, below the fold: ${text}`);
  }
}
await browser.close();
