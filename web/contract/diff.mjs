// Compares a schema with that of the last release. Every breaking change must be named in docs/schema-changes.md.
//   node diff.mjs RELEASED.graphql PRESENT.graphql CHANGES.md
import { readFileSync } from "node:fs";
import { CriticalityLevel, diff } from "@graphql-inspector/core";
import { buildSchema } from "graphql";

const [released, present, notes] = process.argv.slice(2).map((name) => readFileSync(name, "utf8"));
const changes = await diff(buildSchema(released), buildSchema(present));
const breaking = changes.filter((c) => c.criticality.level === CriticalityLevel.Breaking);
const unnamed = breaking.filter((c) => !notes.includes(`\`${c.path}\``));
for (const c of unnamed) {
  console.log(`${c.path}: ${c.message}`);
}
console.log(`${changes.length} changes since the last release, ${breaking.length} of them breaking, ${unnamed.length} of these not named in docs/schema-changes.md`);
process.exitCode = unnamed.length === 0 ? 0 : 1;
