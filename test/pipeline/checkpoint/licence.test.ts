import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { UsageError } from '../../../src/errors.js'
import {
  licenceOfPlugin,
  licencesOf,
  recordLicence,
  unknownLicences,
} from '../../../src/pipeline/checkpoint/licence.js'
import { refuseUnusableWeights } from '../../../src/pipeline/train/weights.js'
import { inMemoryRuntime } from '../../../src/runtime/in-memory.js'
import { checkpointFacts, segmentorFacts } from '../../helpers/checkpoint-facts.js'
import { temporaryFolder } from '../../helpers/temporary.js'

const sha256 = 'a'.repeat(64)

function weightsOf(metadata: Record<string, unknown> | null) {
  const path = join(temporaryFolder(), 'TGAN.pt')
  writeFileSync(path, '')
  return checkpointFacts([segmentorFacts(7)], { path, sha256, metadata })
}

test('weights of another project have no licence until it is recorded, once for all uses', async () => {
  const facts = weightsOf(null)
  const unknown = await licencesOf('baseline', facts)
  expect(unknown).toEqual([{ network: 'baseline', file: 'TGAN.pt', sha256, licence: null }])
  expect(unknownLicences(unknown, ['other.pt', 'weights/TGAN.pt'])).toEqual([
    'networks.baseline: the licence of TGAN.pt is not stated; record it: freetumor checkpoint licence weights/TGAN.pt NAME',
  ])
  const { file } = await recordLicence(facts, ' CC-BY-NC-4.0 ')
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({ licence: 'CC-BY-NC-4.0', sha256 })
  const known = await licencesOf('generator', facts)
  expect(known).toEqual([{ network: 'generator', file: 'TGAN.pt', sha256, licence: 'CC-BY-NC-4.0' }])
  expect(unknownLicences(known, [])).toEqual([])
})

test('a recorded licence does not apply to other weights under the same name', async () => {
  const facts = weightsOf(null)
  await recordLicence(facts, 'MIT')
  expect((await licencesOf('baseline', { ...facts, sha256: 'b'.repeat(64) }))[0]!.licence).toBeNull()
})

test('own weights have the licences of the weights that they build on', async () => {
  expect(await licencesOf('baseline', weightsOf({ kind: 'segmentor' }))).toEqual([])
  const inherited = [{ network: 'segmentor', file: 'voco.pt', sha256, licence: 'Apache-2.0' }] as const
  const other = [{ network: 'judge', file: 'x', sha256, licence: 'MIT' }, 'text', { network: 'segmentor' }]
  const facts = weightsOf({ kind: 'segmentor', licences: [...inherited, ...other] })
  expect(await licencesOf('baseline', facts)).toEqual(inherited)
})

test('the licence of a plug-in is inherited like that of weights', async () => {
  const plugin = { name: 'p'.repeat(100), version: 'v'.repeat(100), licence: 'CC-BY-NC-4.0', sha256: null }
  const own = licenceOfPlugin('generator', plugin)
  expect(own).toEqual({
    network: 'generator',
    file: `plug-in ${plugin.name} ${plugin.version}`,
    sha256: null,
    licence: 'CC-BY-NC-4.0',
  })
  const facts = weightsOf({ kind: 'segmentor', licences: [own, { ...own, sha256: 'x' }] })
  expect(await licencesOf('segmentor', facts)).toEqual([own])
})

test('a training warns about weights without a licence, and returns all licences', async () => {
  const facts = weightsOf(null)
  const notes: string[] = []
  const context = {
    runtime: inMemoryRuntime({ inspect: () => facts }),
    signal: undefined,
    logDirectory: '',
    note: (text: string) => void notes.push(text),
  }
  const source = { checkpoint: facts.path, weights: null, trainFrom: null, plugin: null }
  const prepare = { windowHu: [-175, 250], spacingMm: [1.5, 1.5, 1.5] } as const
  const wanted = {
    prepare,
    baseline: source,
    generator: null,
    organs: [],
    baselineMerging: null,
    generatorChannel: null,
  }
  const found = await refuseUnusableWeights({ ...wanted, initial: source }, context)
  expect(found.map(({ network }) => network)).toEqual(['segmentor', 'baseline'])
  expect(notes).toHaveLength(2)
  await recordLicence(facts, 'MIT')
  notes.length = 0
  expect((await refuseUnusableWeights(wanted, context))[0]!.licence).toBe('MIT')
  expect(notes).toEqual([])
})

test.each(['', ' ', 'a\nb', 'x'.repeat(201)])('refuses the licence %j', async (text) => {
  await expect(recordLicence(weightsOf(null), text)).rejects.toThrow(UsageError)
})
