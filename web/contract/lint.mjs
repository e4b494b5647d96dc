// Lints the schema by eslint.config.mjs.
import { fileURLToPath } from "node:url";
import { ESLint } from "eslint";

process.chdir(fileURLToPath(new URL("../..", import.meta.url)));
const eslint = new ESLint({ overrideConfigFile: "web/contract/eslint.config.mjs" });
const results = await eslint.lintFiles(["schema/*.graphqls"]);
for (const file of results) {
  for (const m of file.messages) {
    console.log(`${file.filePath}:${m.line} ${m.ruleId}: ${m.message}`);
  }
}
const faults = results.reduce((sum, file) => sum + file.messages.length, 0);
console.log(`${results.length} files of the schema, ${faults} faults`);
process.exitCode = results.length > 0 && faults === 0 ? 0 : 1;
