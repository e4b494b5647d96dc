// Copies the explorer's third-party files, pinned by package-lock.json, to where Go embeds them.
import { copyFile, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const target = join(here, "..", "explorer", "vendor");
const files = {
  "react.js": "react/umd/react.production.min.js",
  "react-dom.js": "react-dom/umd/react-dom.production.min.js",
  "graphiql.js": "graphiql/graphiql.min.js",
  "graphiql.css": "graphiql/graphiql.min.css",
};

await mkdir(target, { recursive: true });
for (const [name, source] of Object.entries(files)) {
  await copyFile(join(here, "node_modules", source), join(target, name));
}
console.log(`${Object.keys(files).length} files copied to ${target}`);
