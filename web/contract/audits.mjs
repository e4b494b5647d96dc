// The audit suite of the GraphQL-over-HTTP specification, from package graphql-http. A failed MUST or SHOULD fails, and so
// do more than two failed MAYs.
//   node audits.mjs http://127.0.0.1:8080/graphql
import { auditServer } from "graphql-http";

const most = 2;
const results = await auditServer({ url: process.argv[2] });
const failed = results.filter((r) => r.status !== "ok");
for (const f of failed) {
  console.log(`${f.id} ${f.name}: ${f.reason}`);
}
const must = failed.filter((f) => !f.name.startsWith("MAY"));
console.log(`${results.length - failed.length} of ${results.length} audits passed`);
process.exitCode = results.length > 50 && must.length === 0 && failed.length <= most ? 0 : 1;
