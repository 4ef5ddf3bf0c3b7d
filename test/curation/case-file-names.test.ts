import { execFileSync } from 'node:child_process'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cacheName, caseFileNames } from '../../src/curation/case-file-names.js'
import { DataError } from '../../src/errors.js'
import { packageRoot, resolvePython } from '../../src/runtime/python.js'
import { temporaryFolder } from '../helpers/temporary.js'

const PIECES = [
  ...['/', '//', '_', '__', '___', '-', '.', '..', '%', '%5F', '%2F', '%-', '\\', ':', '*', '?', ' ', '\0'],
  ...[
    '\n',
    '\u001b[31m',
    '\u202e',
    'é',
    'e\u0301',
    'ſ',
    's',
    'K',
    '\u212a',
    'ß',
    'SS',
    'İ',
    '\ud800',
    '\udfff',
  ],
  ...['CON', 'nul', 'com1', 'aux.x', 'd', 'D', 'x', 'X', '1', '日本', '🙂', 'a'.repeat(90), 'A'.repeat(90)],
  ...['_0000', '_v000', '.nii.gz', '~', "'"],
]
const piece = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(...PIECES) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary' }) },
)
const hostileId = fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join(''))
/** Two that differ little are likelier to meet than any two. */
const pair = fc.tuple(
  fc.array(piece, { maxLength: 3 }),
  fc.array(piece, { maxLength: 2 }),
  fc.array(piece, { maxLength: 2 }),
  fc.array(piece, { maxLength: 3 }),
)
const twins = pair.map(
  ([start, one, other, end]) =>
    [one, other].map((middle) => [...start, ...middle, ...end].join('')) as [string, string],
)

const onAnyDisk = (name: string) => name.normalize('NFC').toLowerCase()

test.each([
  ['liver_001', 'liver_001'],
  ['MSD/liver_001', 'MSD__liver_001'],
  ["Made/it's a", 'Made__it%27s%20a'],
  ['d/x', 'd__x'],
  ['q/d_x', 'q__d_x'],
  ['q/d__x', 'q__d%5F%5Fx'],
  ['q_/x', 'q%5F__x'],
  ['.hidden', '%2Ehidden'],
  ['-rf', '%2Drf'],
  ['nul', '%6Eul'],
  ['', '%'],
])('case %j has the file name %s', (id, name) => {
  expect(caseFileNames([id]).get(id)).toBe(name)
})

describe('file names of cases', () => {
  test('are never shared: two ids have different names, or both are refused by name', () => {
    fc.assert(
      fc.property(fc.oneof(twins, fc.tuple(hostileId, hostileId)), ([one, other]) => {
        fc.pre(one !== other)
        try {
          const names = caseFileNames([one, other])
          expect(onAnyDisk(names.get(one)!)).not.toBe(onAnyDisk(names.get(other)!))
        } catch (error) {
          expect(error).toBeInstanceOf(DataError)
          expect((error as DataError).facts.cases).toEqual([one, other])
          // Only case tells them apart.
          expect(one.toLowerCase()).toBe(other.toLowerCase())
        }
        expect(cacheName(one)).not.toBe(cacheName(other))
      }),
      { numRuns: 20_000 },
    )
  })

  test('do not change when cases are added', () => {
    fc.assert(
      fc.property(fc.uniqueArray(hostileId, { selector: onAnyDisk, maxLength: 8 }), (ids) => {
        const [first] = ids
        fc.pre(first !== undefined)
        expect(caseFileNames(ids).get(first)).toBe(caseFileNames([first]).get(first))
      }),
    )
  })

  test('are plain ASCII without a separator, hidden start, option or device, and leave room in 255 bytes', () => {
    fc.assert(
      fc.property(hostileId, (id) => {
        const name = caseFileNames([id]).get(id)!
        expect(name).toMatch(/^[A-Za-z0-9_%][A-Za-z0-9_.%-]*$/)
        expect(name).not.toMatch(/^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i)
        expect(name.length).toBeLessThanOrEqual(160)
        expect(cacheName(id)).toMatch(/^[A-Za-z0-9_.%~-]{0,160}\.zarr$/)
      }),
      { numRuns: 5_000 },
    )
  })

  test('give one file per case', () => {
    const folder = temporaryFolder()
    const ids = [...new Set(fc.sample(hostileId, { numRuns: 300, seed: 7 }).map((id) => id.toLowerCase()))]
    for (const name of caseFileNames(ids).values()) writeFileSync(join(folder, `${name}_v000.nii.gz`), '')
    expect(readdirSync(folder)).toHaveLength(ids.length)
  })
})

test('two cases that differ only in upper and lower case are refused with a hint', () => {
  const refused = () => caseFileNames(['d/x', 'e/x', 'D/x'])
  expect(refused).toThrow('cases d/x and D/x: equal file names (found D__x for both)')
  expect(refused).toThrow(expect.objectContaining({ hint: expect.stringContaining('rename') }))
})

test('the names of the cache equal those of Python', () => {
  const ids = fc.sample(hostileId, { numRuns: 500, seed: 3 })
  const program = [
    'import json, sys',
    'from freetumor_runtime.data.cache import case_path',
    'print(json.dumps([case_path("/c", one).name for one in json.load(sys.stdin)]))',
  ].join('\n')
  const told = execFileSync(resolvePython(), ['-c', program], {
    cwd: join(packageRoot, 'python_runtime'),
    input: JSON.stringify(ids),
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  })
  expect(ids.map(cacheName)).toEqual(JSON.parse(told))
})
