#!/usr/bin/env node
/**
 * Writes what follows from the keys of the configuration (src/config/sections): the TypeScript type of a configuration with
 * its documentation, the page docs/configuration.md, and the JSON schema for editors.
 *     npm run build && npm run generate:config
 *     node scripts/generate-config.mjs --into DIR     writes DIR/src/... and DIR/docs/... (the test that they are current)
 *     node scripts/generate-config.mjs --schema FILE  writes the JSON schema alone (the build)
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { configKeys } from '../dist/config/explain.js'
import { configJsonSchema, describedSchema, factLines } from '../dist/config/json-schema.js'
import { configPage } from './config/page.mjs'
import { configInputModule } from './config/typescript.mjs'

const { values } = parseArgs({ options: { into: { type: 'string' }, schema: { type: 'string' } } })
const root = values.into ?? fileURLToPath(new URL('..', import.meta.url))

if (values.schema !== undefined) write(values.schema, `${JSON.stringify(configJsonSchema(), null, 2)}\n`)
else {
  write(join(root, 'src/generated/config-input.ts'), configInputModule(describedSchema(), factLines))
  write(join(root, 'docs/configuration.md'), configPage(configKeys()))
}

function write(file, text) {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
}
