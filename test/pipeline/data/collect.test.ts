import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, test } from 'vitest'
import { writePhantomDataset } from '../../../src/phantom/dataset.js'
import { auditDataAt } from '../../../src/pipeline/data/audit.js'
import { checkDataAt } from '../../../src/pipeline/data/check.js'
import { configNamed } from '../../../src/pipeline/data/collect.js'
import { importData } from '../../../src/pipeline/data/import.js'
import { remapData } from '../../../src/pipeline/data/remap.js'
import { splitData } from '../../../src/pipeline/data/split.js'
import { inMemoryRuntime } from '../../../src/runtime/in-memory.js'
import { readNifti } from '../../../src/volume/nifti.js'
import { temporaryFolder } from '../../helpers/temporary.js'

const NO_SHARDS = { runtime: inMemoryRuntime(), note: () => {} }

test('an argument names a configuration by its ending, or a shipped one by its name', () => {
  const cwd = temporaryFolder()
  const named = (argument: string) => configNamed(argument, cwd)
  expect(named('mine.yaml')).toBe(join(cwd, 'mine.yaml'))
  expect(named('debug-baseline')).toBe('debug-baseline')
  expect(named('manifest.json')).toBeNull()
  expect(named('data')).toBeNull()
  mkdirSync(join(cwd, 'debug-baseline'))
  expect(named('debug-baseline')).toBeNull()
})

describe('the data functions', () => {
  it('check, import, split, audit and remap a data set, relative to the given folder', async () => {
    const cwd = temporaryFolder()
    await writePhantomDataset({
      out: join(cwd, 'phantoms'),
      cases: 2,
      region: 'abdomen',
      seed: 1,
      sizeVoxels: 32,
    })
    const report = await checkDataAt(['phantoms'], { cwd, workers: 1 }, NO_SHARDS)
    expect(report).toMatchObject({ numCases: 2 })

    const notes: string[] = []
    const onNote = (text: string): void => void notes.push(text)
    const planned = await importData({ lists: ['phantoms'], out: 'm.json', dryRun: true, cwd, onNote })
    expect(planned).toMatchObject({ out: null, numCases: 2, complete: true })
    expect(existsSync(join(cwd, 'm.json'))).toBe(false)
    const taken: string[] = []
    const imported = await importData({
      lists: ['phantoms'],
      out: 'm.json',
      workers: 1,
      cwd,
      onTaken: (sources) => taken.push(...sources.map(({ dataset }) => dataset)),
    })
    expect(imported).toMatchObject({ out: 'm.json', numCases: 2, refused: [] })
    expect(taken).toHaveLength(1)

    const split = await splitData(['m.json'], { folds: 2, out: 'split.json', cwd })
    expect(split.patients).toHaveLength(2)
    const audit = await auditDataAt(['split.json'], { cache: 'cache', workers: 1, cwd }, NO_SHARDS)
    expect(audit).toMatchObject({ numCases: 2, complete: true })

    const labels = join(cwd, 'phantoms', 'labelsTr')
    const [first] = split.manifest.cases
    expect(first!.label).toContain(labels)
    const out = join(cwd, 'liver.nii.gz')
    const { after } = await remapData({ labels: first!.label!, out, map: '1:1', rest: 0 })
    expect(after.map(({ id }) => id)).toEqual([0, 1])
    expect(Math.max(...(await readNifti(out)).data)).toBe(1)
    const wrong = remapData({ labels: first!.label!, out: join(cwd, 'liver.nrrd'), map: '1:1', rest: 0 })
    await expect(wrong).rejects.toThrow('--out: wrong ending')
  })

  it('take a configuration relative to the given folder, with the region of its data sets', async () => {
    const cwd = temporaryFolder()
    await writePhantomDataset({ out: join(cwd, 'lungs'), cases: 1, region: 'chest', seed: 1, sizeVoxels: 32 })
    const data = '{ root: ., datasets: [{ name: lungs, role: labelled, labelMap: region }] }'
    writeFileSync(join(cwd, 'mine.yaml'), `job: baseline\nregion: chest\ndata: ${data}\n`)
    const imported = await importData({ config: 'mine.yaml', out: 'm.json', dryRun: true, cwd })
    expect(imported.taken).toMatchObject([{ dataset: 'lungs', region: 'chest', training: 1 }])
  })

  it('refuse an import of nothing, with options of the API in the hint', async () => {
    await expect(importData({ out: 'm.json' })).rejects.toMatchObject({
      hint: 'pass lists with data sets, or config with a configuration',
    })
  })
})
