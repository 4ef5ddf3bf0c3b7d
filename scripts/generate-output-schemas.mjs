#!/usr/bin/env node
/**
 * Writes the JSON schema of what commands print with `--output json` and `--output ndjson`, from the types in
 * src/cli/json-outputs.ts. The build calls it:
 *     node scripts/generate-output-schemas.mjs FILE
 */
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { generateSchema, programFromConfig } from 'typescript-json-schema'
import { SCHEMA_VERSION } from '../dist/cli/json-outputs.js'

const inRoot = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url))
const program = programFromConfig(inRoot('tsconfig.build.json'), [inRoot('src/cli/json-outputs.ts')])
const documents = schemaOf('JsonOutputs')
const lines = schemaOf('JsonLines')

const version = {
  type: 'object',
  properties: { schemaVersion: { const: SCHEMA_VERSION } },
  required: ['schemaVersion'],
}
const schema = {
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'freetumor: what commands print with --output json (documents) and --output ndjson (lines)',
  documents: Object.fromEntries(
    Object.entries(documents.properties).map(([command, one]) => [command, { allOf: [one, version] }]),
  ),
  lines: lines.properties,
  definitions: { ...lines.definitions, ...documents.definitions },
}
writeFileSync(process.argv[2], `${JSON.stringify(schema, null, 2)}\n`)

function schemaOf(type) {
  const made = generateSchema(program, type, { required: true, topRef: false, ignoreErrors: true })
  if (made === null) throw new Error(`no schema of ${type}`)
  return withNamedTypes(made)
}

/**
 * Keep the definitions of named types, under their names alone: TypeScript may add the path of a file on this machine.
 * Definitions of type expressions (`Pick<...>`) are inlined.
 */
function withNamedTypes({ definitions, ...top }) {
  const names = Object.keys(definitions).map((key) => [key, key.replace(/^import\(.*?\)\./, '')])
  const named = new Map(names.filter(([, name]) => /^\w+$/.test(name)))
  if (new Set(named.values()).size < named.size) throw new Error('two types of the outputs have one name')
  const resolved = (value) => {
    if (Array.isArray(value)) return value.map(resolved)
    if (typeof value !== 'object' || value === null) return value
    const { $ref, ...rest } = value
    const plain = Object.fromEntries(Object.entries(rest).map(([key, one]) => [key, resolved(one)]))
    if ($ref === undefined) return plain
    const key = decodeURIComponent($ref.slice('#/definitions/'.length))
    if (named.has(key)) return { $ref: `#/definitions/${named.get(key)}`, ...plain }
    return { ...resolved(definitions[key]), ...plain }
  }
  const kept = [...named].map(([key, name]) => [name, resolved(definitions[key])])
  return { ...resolved(top), definitions: Object.fromEntries(kept) }
}
