import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { addRealismCommand } from '../../../src/cli/commands/realism.js'
import { runProgram } from '../../../src/cli/program.js'
import { writePhantomDataset } from '../../../src/phantom/dataset.js'
import { memoryIo } from '../../helpers/cli.js'
import { filesIn } from '../../helpers/files-in.js'
import { runPython } from '../../helpers/python.js'
import { temporaryFolder } from '../../helpers/temporary.js'

const CANARY = 'CANARYXQ'
/** Offsets of the text fields of a NIfTI-1 header: data_type, db_name, descrip, aux_file, intent_name. */
const TEXTS = [4, 14, 148, 228, 328]

async function writePhantoms(out: string, seed: number): Promise<void> {
  await writePhantomDataset({
    out,
    cases: 8,
    hosts: 0,
    region: 'abdomen',
    sizeVoxels: 32,
    seed,
    difficulty: 'standard',
  })
  for (const part of ['imagesTr', 'labelsTr'])
    for (const name of readdirSync(join(out, part))) {
      const content = gunzipSync(readFileSync(join(out, part, name)))
      for (const at of TEXTS) content.write(CANARY, at, 'latin1')
      writeFileSync(join(out, part, name), gzipSync(content, { level: 1 }))
    }
}

test('realism writes figures, nearest tumors and a page, without text of headers; a limit ends with exit code 3', async () => {
  const cwd = temporaryFolder()
  await writePhantoms(join(cwd, 'made'), 1)
  await writePhantoms(join(cwd, 'real'), 2)
  runPython('test/fixtures/make_segmentor.py', cwd)
  const io = memoryIo({ cwd })
  const few = ['--min-tumors', '5', '--permutations', '19', '--resamples', '20', '--workers', '1']

  const code = await runProgram(
    [addRealismCommand],
    [
      'realism',
      'made',
      'real',
      '--out',
      'out',
      ...few,
      ...['--checkpoint', 'a.pt'],
      '--limit',
      'histogramTumor=0.001',
      '--output',
      'json',
    ],
    io,
  )

  expect(code, io.stderr.join('\n')).toBe(3)
  const printed = JSON.parse(io.stdout.join('\n'))
  const overall = printed.measures.filter(
    (one: { organ: string; size: string }) => one.organ === 'all' && one.size === 'all',
  )
  expect(overall).toHaveLength(10)
  for (const { name, value, ci, p } of overall) {
    expect(value, name).toBeGreaterThanOrEqual(0)
    expect(ci, name).toHaveLength(2)
    expect(p, name).toBeGreaterThan(0)
  }
  expect(printed.exceeded).toMatchObject([{ measure: 'histogramTumor', max: 0.001 }])
  expect(overall.at(-1)).toMatchObject({ name: 'encoderAuc', unit: 'AUC' })
  expect(printed.settings.encoder).toMatchObject({ file: 'a.pt', patchVoxels: [16, 16, 16] })
  expect(printed.nearest.length).toBe(overall[0].n.synthetic)
  expect(printed.nearest[0].host).toBeNull()
  expect(printed.failed).toEqual([])
  const out = join(cwd, 'out')
  expect(readdirSync(out).sort()).toEqual(['nearest.csv', 'realism.json', 'report.html'])
  for (const [file] of filesIn(out)) expect(readFileSync(join(out, file)).includes(CANARY), file).toBe(false)
  expect([...io.stdout, ...io.stderr].join('\n')).not.toContain(CANARY)
})

test('realism refuses a wrong limit before any work', async () => {
  const io = memoryIo({ cwd: temporaryFolder() })
  expect(
    await runProgram([addRealismCommand], ['realism', 'a', 'b', '--out', 'out', '--limit', 'auc=1'], io),
  ).toBe(2)
  expect(io.stderr.join('\n')).toContain('unknown measure auc')
})
