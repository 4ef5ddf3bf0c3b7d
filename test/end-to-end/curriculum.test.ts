import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { synthesisLineSchema } from '../../src/quality/ledger-schema.js'
import { runCli } from '../helpers/cli.js'
import { temporaryFolder } from '../helpers/temporary.js'

const WINDOW_WIDTH_HU = 425

it('depths and contrasts that evaluate measures are those of the tumors that synthesize paints', async () => {
  const folder = temporaryFolder()
  const phantoms = join(folder, 'phantoms')
  await runCli(['phantom', '--out', phantoms, '--cases', '2', '--hosts', '1', '--size', '64', '--seed', '5'])
  const [scans, labels] = [join(phantoms, 'imagesTr'), join(phantoms, 'labelsTr')]
  const out = join(folder, 'evaluated')
  const measured = await runCli([
    ...['evaluate', '--predictions', labels, '--labels', labels, '--profile', 'lesion'],
    ...['--images', scans, '--out', out],
  ])
  expect(measured.code, measured.stderr).toBe(0)
  const lines = readFileSync(join(out, 'missed-sizes.jsonl'), 'utf8').trim().split('\n')
  const entries = lines.map((line) => JSON.parse(line))
  for (const kind of ['diameterMm', 'depthMm', 'contrastHu'])
    expect(
      entries.some((entry) => kind in entry),
      kind,
    ).toBe(true)
  // hand-crafted tumors of the liver in two ranges of contrast that are not the usual ones
  const aim = [
    { organ: 'liver', diameterMm: [8, 16], found: 0, missed: 1 },
    { organ: 'liver', depthMm: [6, 10], found: 0, missed: 1 },
    { organ: 'liver', contrastHu: [-20, -10], found: 0, missed: 1 },
    { organ: 'liver', contrastHu: [30, 40], found: 0, missed: 1 },
  ]
  const file = join(folder, 'aim.jsonl')
  writeFileSync(file, aim.map((entry) => `${JSON.stringify(entry)}\n`).join(''))
  const config = join(folder, 'run.yaml')
  const sections = ['networks: { baseline: null, generator: null }', 'training: { task: onlylabeled }']
  writeFileSync(
    config,
    [
      'job: segmentation',
      `data: { root: ${phantoms}, datasets: [{ name: scans, path: . }] }`,
      ...sections,
    ].join('\n'),
  )
  const synthetic = join(folder, 'synthetic')
  const painted = await runCli([
    ...['synthesize', '--config', config, '--images', scans, '--labels', labels, '--organs', 'liver'],
    ...['--variants', '6', '--tumors', '2', '--seed', '3', '--out', synthetic],
    ...['--set', `simulation.curriculum=${file}`],
  ])
  expect(painted.code, painted.stderr).toBe(0)
  const tumors = readFileSync(join(synthetic, 'ledger.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => synthesisLineSchema.parse(JSON.parse(line)))
    .flatMap(({ plan, measures }) =>
      plan === null ? [] : [{ ...plan, changeHu: measures.contrast! * WINDOW_WIDTH_HU }],
    )
  expect(tumors.length).toBeGreaterThan(12)
  const wanted = tumors.map(({ aimed }) => aimed!.contrastHu!)
  expect(wanted.some((hu) => hu < 0) && wanted.some((hu) => hu > 0)).toBe(true)
  // the texture at the place of a tumor makes the rest of the difference
  for (const { changeHu, aimed } of tumors)
    expect(Math.abs(changeHu / aimed!.contrastHu! - 1)).toBeLessThan(0.4)
  const mean =
    tumors.reduce((sum, { changeHu, aimed }) => sum + changeHu / aimed!.contrastHu!, 0) / tumors.length
  expect(Math.abs(mean - 1)).toBeLessThan(0.1)
  expect(tumors.filter(({ aimed }) => aimed!.depth!.reached).length).toBeGreaterThan(tumors.length / 2)
})
