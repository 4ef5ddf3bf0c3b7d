import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { addDataCommand } from '../../../src/cli/commands/data.js'
import { runProgram } from '../../../src/cli/program.js'
import { resolveConfig } from '../../../src/config/resolve.js'
import { curate } from '../../../src/curation/datasets/curate.js'
import { labelFiles } from '../../../src/curation/datasets/label-files.js'
import { pairCases } from '../../../src/curation/datasets/pairs.js'
import { pairMasks } from '../../../src/pipeline/evaluate/mask-files.js'
import { scansOf } from '../../../src/pipeline/predict/cases.js'
import { readNifti } from '../../../src/volume/nifti.js'
import { memoryIo } from '../../helpers/cli.js'
import { LAYOUTS, type MadeLayout, writeVolume } from '../../helpers/layouts.js'
import { madeLabel } from '../../helpers/made-cases.js'
import { temporaryFolder } from '../../helpers/temporary.js'

// merged label maps are shared below the working directory
const before = process.cwd()
const place = mkdtempSync(join(tmpdir(), 'freetumor-layouts-'))
beforeAll(() => process.chdir(place))
afterAll(() => {
  process.chdir(before)
  rmSync(place, { recursive: true, force: true })
})

async function data(...argv: string[]) {
  const io = memoryIo({ cwd: process.cwd() })
  const code = await runProgram([addDataCommand], ['data', ...argv, '--output', 'json'], io)
  return { code, text: io.stderr.join('\n'), result: JSON.parse(io.stdout.at(-1) ?? 'null') }
}

const REGION = ['--region', 'abdomen', '--map', 'region']
const truth = [...madeLabel().data]

async function expectTruth(labels: readonly (string | null)[]): Promise<void> {
  for (const label of labels) expect([...(await readNifti(label!)).data]).toEqual(truth)
}

/** The commands that take scans; each checks that it finds both cases with their labels. */
const COMMANDS: Record<string, (path: string, layout: MadeLayout) => Promise<void>> = {
  'data check': async (path) => {
    const { code, result, text } = await data('check', path, ...REGION)
    expect([code, result.numCases], text).toEqual([0, 2])
    // the made labels have no kidney
    expect(new Set(result.findings.map(({ rule }: { rule: string }) => rule))).toEqual(
      new Set(['organ-missing']),
    )
  },
  'data import': async (path, { ids }) => {
    const out = join(temporaryFolder(), 'm.json')
    const { code, text } = await data('import', '--lists', path, '--out', out, ...REGION)
    expect(code, text).toBe(0)
    const { cases } = JSON.parse(readFileSync(out, 'utf8'))
    expect(cases.map(({ id }: { id: string }) => id)).toEqual(ids)
    await expectTruth(cases.map(({ label }: { label: string }) => label))
  },
  'data split': async (path) => {
    const out = join(temporaryFolder(), 'split.json')
    const { code, result, text } = await data('split', path, '--folds', '2', '--out', out, ...REGION)
    expect(code, text).toBe(0)
    expect(result.patients).toHaveLength(2)
  },
  'data audit': async (path) => {
    const cache = temporaryFolder()
    const { result, text } = await data('audit', path, '--cache', cache, '--workers', '1', ...REGION)
    expect([result?.numCases, result?.unreadable], text).toEqual([2, []])
  },
  prepare: async (path, { ids }) => {
    const names = [...new Set(ids.map((id) => id.slice(0, id.indexOf('/'))))]
    const config = resolveConfig({
      job: 'baseline',
      data: {
        root: names.length > 1 ? path : join(path, '..'),
        datasets: names.map((name) => ({ name, role: 'labelled' as const, labelMap: 'region' })),
      },
    })
    const { cases, leftOut } = await curate(config.data, 'abdomen')
    expect([cases.map(({ id }) => id), leftOut]).toEqual([ids, []])
    await expectTruth(cases.map(({ label }) => label))
  },
  synthesize: async (path, { names }) => {
    const { cases, leftOut } = await pairCases(path, undefined, 'abdomen')
    expect([cases.map(({ id }) => id), leftOut]).toEqual([names, []])
    await expectTruth(cases.map(({ label }) => label))
  },
  predict: async (path, { names }) => {
    const { scans, leftOut } = await scansOf(path, undefined, { labels: path })
    expect([scans.map(({ id }) => id), leftOut]).toEqual([names, []])
    expect(scans.every(({ image }) => existsSync(image))).toBe(true)
    await expectTruth(scans.map(({ label }) => label))
  },
  evaluate: async (path, { names }) => {
    const masks = temporaryFolder()
    for (const name of names) await writeVolume(join(masks, `${name}.nii.gz`), madeLabel())
    const { pairs, leftOut } = await pairMasks(masks, path)
    expect([pairs.map(({ id }) => id), leftOut]).toEqual([names, []])
    await expectTruth(pairs.map(({ label }) => label))
  },
}

describe('every layout is read by every command', () => {
  const matrix = LAYOUTS.flatMap((layout) => Object.keys(COMMANDS).map((command) => ({ layout, command })))
  it.each(matrix)('$layout.name by $command', async ({ layout, command }) => {
    await COMMANDS[command]!(await layout.write(), layout)
  })
})

describe('labels that lie apart', () => {
  it.each(LAYOUTS)('of $name pair with a folder of scans', async ({ write, names }) => {
    const { files } = await labelFiles(await write(), [...names, 'stranger'], 'abdomen')
    expect([...files.keys()].sort()).toEqual([...names].sort())
  })
})
