import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'
import { describe, expect, it } from 'vitest'
import { packageRoot } from '../../src/runtime/python.js'
import { runPython } from '../helpers/python.js'

/** What may stand at a place of a job file; specs_by_python.py prints the same of its dataclasses. */
type Shape =
  | 'string'
  | 'number'
  | 'boolean'
  | { readonly nullable: Shape }
  | { readonly list: Shape }
  | { readonly map: Shape }
  | { readonly keys: readonly (readonly [string, Shape])[] }

const PORTS = join(packageRoot, 'src/pipeline/ports')
const files = readdirSync(PORTS).map((name) => join(PORTS, name))
const read = ts.readConfigFile(join(packageRoot, 'tsconfig.json'), ts.sys.readFile)
const { options } = ts.parseJsonConfigFileContent(read.config, ts.sys, packageRoot)
const program = ts.createProgram(files, options)
const checker = program.getTypeChecker()

function shapeOf(type: ts.Type, where: string): Shape {
  const present = checker.getNonNullableType(type)
  if (present !== type) return { nullable: shapeOf(present, where) }
  if (isEach(type, ts.TypeFlags.StringLike)) return 'string'
  if (isEach(type, ts.TypeFlags.NumberLike)) return 'number'
  if (isEach(type, ts.TypeFlags.BooleanLike)) return 'boolean'
  const element = checker.getIndexTypeOfType(type, ts.IndexKind.Number)
  if (element !== undefined) return { list: shapeOf(element, `${where}[]`) }
  const value = checker.getIndexTypeOfType(type, ts.IndexKind.String)
  if (value !== undefined) return { map: shapeOf(value, `${where}{}`) }
  if (!(type.flags & ts.TypeFlags.Object))
    throw new Error(`${where}: ${checker.typeToString(type)} cannot cross`)
  return {
    keys: checker
      .getPropertiesOfType(type)
      .map((key) => [key.name, shapeOf(checker.getTypeOfSymbol(key), `${where}.${key.name}`)] as const),
  }
}

function isEach(type: ts.Type, flags: ts.TypeFlags): boolean {
  return (type.isUnion() ? type.types : [type]).every((one) => (one.flags & flags) !== 0)
}

/** The interfaces of the ports by the jobs that their `job` key names. */
function specsByJob(): Map<string, ts.Type> {
  const found = new Map<string, ts.Type>()
  for (const file of files)
    program.getSourceFile(file)?.forEachChild((node) => {
      if (!ts.isInterfaceDeclaration(node)) return
      const type = checker.getTypeAtLocation(node)
      const job = type.getProperty('job')
      if (job === undefined) return
      const named = checker.getTypeOfSymbol(job)
      for (const one of named.isUnion() ? named.types : [named])
        if (one.isStringLiteral()) found.set(one.value, type)
    })
  return found
}

const ours = specsByJob()
const theirs: Record<string, Shape> = JSON.parse(runPython('test/contract/specs_by_python.py', ''))

describe('specifications of jobs', () => {
  it('exist for the same eleven jobs in both languages', () => {
    expect([...ours.keys()].sort()).toEqual(Object.keys(theirs).sort())
    expect(ours.size).toBe(11)
  })

  it.each(Object.keys(theirs))('%s has the same keys of the same types in the same order in both', (job) => {
    expect(shapeOf(ours.get(job)!, job)).toEqual(theirs[job])
  })
})
