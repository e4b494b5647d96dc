// Opens the explorer in Chromium with its strict policy and without the network: every tab is there, a query and a
// subscription run, nothing is fetched from elsewhere, nothing is refused or logged as an error.
//   node explorer.mjs CHROMIUM http://127.0.0.1:8080 FOLDER_FOR_SCREENSHOTS EXAMPLES
import { join } from "node:path";
import { chromium } from "playwright-core";

const [executablePath, base, folder, examples] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
const faults = [];
page.on("console", (line) => line.type() === "error" && faults.push(`console: ${line.text()}`));
page.on("pageerror", (fault) => faults.push(`page: ${fault.message}`));
await page.route("**/*", (route) => {
  if (route.request().url().startsWith(base)) return route.continue();
  faults.push(`fetched from elsewhere: ${route.request().url()}`);
  return route.abort();
});

try {
  const answer = await page.goto(`${base}/explorer/`);
  const policy = answer.headers()["content-security-policy"];
  if (!policy?.includes("default-src 'self'") || /script-src|unsafe-eval/.test(policy)) faults.push(`policy: ${policy}`);
  const tabs = page.getByRole("tab");
  await tabs.first().waitFor();
  if ((await tabs.count()) !== Number(examples)) faults.push(`${await tabs.count()} tabs, not ${examples}`);

  // The schema is read and the editor has text before anything is run.
  const run = page.locator(".graphiql-execute-button");
  const answerPane = page.locator(".graphiql-response");
  const open = async (name) => {
    await page.getByRole("tab", { name: new RegExp(`^${name}\\b`) }).first().click();
    await page.locator(".graphiql-query-editor").getByText(new RegExp(name)).first().waitFor();
  };
  await open("Customers");
  await run.click();
  await answerPane.getByText(/customerId/).first().waitFor();
  await page.screenshot({ path: join(folder, "explorer.png") });

  // GraphiQL sends a subscription as a plain POST, which is refused, until it has parsed the tab's text; so it is tried again.
  await open("Live");
  const stop = page.locator('.graphiql-execute-button[aria-label^="Stop"]');
  for (let tries = 1; ; tries++) {
    await run.click();
    try {
      await stop.waitFor({ timeout: 3000 });
      break;
    } catch (fault) {
      if (tries === 5) throw fault;
    }
  }
  await page.screenshot({ path: join(folder, "subscription.png") });
} catch (fault) {
  faults.push(String(fault));
  await page.screenshot({ path: join(folder, "fault.png") });
} finally {
  await browser.close();
}
for (const fault of faults) console.log(fault);
console.log(`the explorer with ${examples} tabs: ${faults.length} faults`);
process.exitCode = faults.length === 0 ? 0 : 1;
