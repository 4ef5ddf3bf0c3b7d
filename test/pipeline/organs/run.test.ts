import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { labelOrgansAt, type OrganLabels } from '../../../src/pipeline/organs/run.js'
import type { LabelOrgansOptions } from '../../../src/pipeline/organs/settings.js'
import { inMemoryRuntime } from '../../../src/runtime/in-memory.js'
import { toolRunner } from '../../../src/runtime/tool.js'
import { readNifti } from '../../../src/volume/nifti.js'
import {
  ABDOMEN,
  type Box,
  standInTools,
  writeGivenLabel,
  writeStandInScan,
} from '../../helpers/stand-in-tools.js'
import { temporaryFolder } from '../../helpers/temporary.js'

let folder: string
let out: string
let notes: string[]

beforeEach(() => {
  folder = temporaryFolder()
  out = join(folder, 'out')
  notes = []
})

const scan = (
  name: string,
  boxes: readonly Box[] = ABDOMEN,
  fault?: Parameters<typeof writeStandInScan>[2],
) => writeStandInScan(join(folder, 'scans', `${name}_0000.nii.gz`), boxes, fault)

function label(options: Partial<LabelOrgansOptions> = {}): Promise<OrganLabels> {
  return labelOrgansAt(
    {
      images: join(folder, 'scans'),
      out,
      with: 'totalsegmentator',
      toolPython: join(folder, 'tool/bin/python'),
      ...options,
    },
    {
      runtime: inMemoryRuntime({}),
      signal: undefined,
      logDirectory: folder,
      note: (text) => notes.push(text),
    },
    toolRunner,
  )
}

async function countsOf(name: string): Promise<Record<string, number>> {
  const { data } = await readNifti(join(out, `${name}.nii.gz`))
  const counts: Record<string, number> = {}
  for (const id of data) if (id !== 0) counts[id] = (counts[id] ?? 0) + 1
  return counts
}

const record = () => JSON.parse(readFileSync(join(out, 'organs.json'), 'utf8'))

describe('labelOrgansAt with a stand-in for TotalSegmentator', () => {
  test.each([
    ['2.18.0', 'total'],
    ['2.18.0', 'total_v3'],
    ['1.5.7', 'total'],
  ])('maps the ids of version %s, task %s', async (version, task) => {
    standInTools(join(folder, 'tool'), version)
    await scan('a')
    const labels = await label({ task })
    expect(labels.failed).toEqual([])
    // liver with its filled hole, pancreas, both kidneys with the cyst; version 1 knows no cyst, which is filled as a hole
    expect(await countsOf('a')).toEqual({ 1: 800, 3: 24, 5: 72 })
    expect(labels).toMatchObject({ tool: 'totalsegmentator', version, region: 'abdomen' })
    expect(labels.cases[0]?.holes).toEqual({
      liver: { count: 1, voxels: 8 },
      pancreas: { count: 0, voxels: 0 },
      kidney: version.startsWith('1') ? { count: 1, voxels: 1 } : { count: 0, voxels: 0 },
    })
    const sides = labels.cases[0]?.sources.filter(({ target }) => target === 5).map(({ source }) => source)
    expect(sides).toEqual(version.startsWith('1') ? [2, 3] : [2, 3, 23])
  })

  test('keeps the tool, its version, its report and the hole counts in organs.json', async () => {
    standInTools(join(folder, 'tool'))
    await scan('a')
    await label({ toolArgs: ['--fast'] })
    expect(record()).toMatchObject({
      tool: 'totalsegmentator',
      version: '2.18.0',
      region: 'abdomen',
      settings: { task: 'total', toolArgs: ['--fast'] },
      complete: true,
      holes: { count: 1, voxels: 8 },
      cases: [{ case: 'a', report: { totalsegmentator_version: '2.18.0', task: 'total', device: 'cpu' } }],
      failed: [],
    })
    expect(JSON.stringify(record())).not.toContain('work.tmp')
    expect(readdirSync(out).sort()).toEqual(['a.nii.gz', 'organs.json', 'organs.jsonl'])
  })

  test('maps the lobes of the lung for the chest', async () => {
    standInTools(join(folder, 'tool'))
    const chest: Box[] = [
      { structure: 'lung_upper_lobe_right', from: [2, 2, 2], to: [6, 10, 8] },
      { structure: 'lung_lower_lobe_left', from: [12, 2, 2], to: [16, 10, 8] },
    ]
    await scan('a', chest)
    const total = await label({ region: 'chest' })
    expect(total.failed).toEqual([])
    expect(total.cases[0]?.sources.map(({ source, target }) => [source, target])).toEqual([
      [0, 0],
      [11, 1],
      [12, 1],
    ])
    const byLungmask = await label({ with: 'lungmask', out: join(folder, 'lungs') })
    expect(byLungmask).toMatchObject({ tool: 'lungmask', version: '0.2.20', region: 'chest' })
    expect(byLungmask.cases[0]?.sources.map(({ source, target }) => [source, target])).toEqual([
      [0, 0],
      [1, 1],
      [2, 1],
    ])
    const byLobes = await label({ with: 'lungmask', task: 'LTRCLobes', out: join(folder, 'lobes') })
    expect(byLobes.cases[0]?.sources.map(({ source }) => source)).toEqual([0, 2, 3])
  })

  test('merges given tumors: the tumor wins, the organ is the union', async () => {
    standInTools(join(folder, 'tool'))
    await scan('a')
    // a liver tumor that reaches out of the tool's liver, and organ voxels that the tool missed
    await writeGivenLabel(join(folder, 'labels/a.nii.gz'), [
      { structure: '1', from: [9, 2, 2], to: [10, 4, 4] },
      { structure: '2', from: [8, 8, 8], to: [10, 10, 10] },
    ])
    const labels = await label({ labels: join(folder, 'labels') })
    expect(labels.failed).toEqual([])
    expect(await countsOf('a')).toEqual({ 1: 800 - 4 + 4, 2: 8, 3: 24, 5: 72 })
  })

  test('maps the ids of the given labels with labelsMap', async () => {
    standInTools(join(folder, 'tool'))
    await scan('a')
    await writeGivenLabel(join(folder, 'labels/a.nii.gz'), [
      { structure: '1', from: [3, 3, 3], to: [5, 5, 5] },
    ])
    await label({ labels: join(folder, 'labels'), labelsMap: '1:liver-tumor' })
    expect(await countsOf('a')).toMatchObject({ 2: 8 })
  })

  test('lists each failed case with its cause, and labels the others', async () => {
    standInTools(join(folder, 'tool'))
    await scan('a')
    for (const fault of ['crash', 'kill', 'grid', 'ids', 'nothing', 'torn', 'memory', 'weights'] as const)
      await scan(`b-${fault}`, ABDOMEN, fault)
    await scan('c')
    const { cases, failed } = await label()
    expect(cases.map(({ caseId }) => caseId)).toEqual(['a', 'c'])
    const causes = Object.fromEntries(
      failed.map(({ caseId, error }) => [caseId, [error.kind, error.message]]),
    )
    expect(causes).toEqual({
      'b-crash': [
        'runtime',
        'TotalSegmentator: failed with exit code 1 (RuntimeError: the network has no such layer)',
      ],
      'b-kill': ['runtime', 'TotalSegmentator: killed by SIGKILL'],
      'b-grid': ['data', expect.stringContaining('the label map of totalsegmentator')],
      'b-ids': ['data', expect.stringContaining('unknown label ids')],
      'b-nothing': ['runtime', 'TotalSegmentator: wrote no label map'],
      'b-torn': ['data', expect.stringContaining('the label map of totalsegmentator')],
      'b-memory': ['runtime', 'TotalSegmentator: out of memory'],
      'b-weights': ['environment', 'TotalSegmentator: its weights are missing and cannot be downloaded'],
    })
    expect(readFileSync(join(out, 'logs/b-crash.log'), 'utf8')).toContain('Traceback')
    expect(existsSync(join(out, 'b-grid.nii.gz'))).toBe(false)
    expect(record()).toMatchObject({ complete: false })
    expect(record().failed).toHaveLength(8)
  })

  test.each([
    ['licence', 'TotalSegmentator: task total needs a licence number'],
    ['weights', 'TotalSegmentator: its weights are missing and cannot be downloaded'],
  ] as const)('ends at once if no case has worked and the tool lacks its %s', async (fault, message) => {
    standInTools(join(folder, 'tool'))
    await scan('a', ABDOMEN, fault)
    await scan('b')
    await expect(label()).rejects.toMatchObject({ code: 'environment', message })
    expect(readdirSync(out).sort()).toEqual(['logs', 'organs.json', 'organs.jsonl'])
  })

  test('refuses a task that needs a licence', async () => {
    standInTools(join(folder, 'tool'))
    await scan('a')
    await expect(label({ task: 'heartchambers_highres' })).rejects.toMatchObject({ code: 'usage' })
    await expect(label({ task: 'heartchambers_highres', map: '1:0,2:liver' })).rejects.toMatchObject({
      code: 'environment',
      message: 'TotalSegmentator: task heartchambers_highres needs a licence number',
    })
  })

  test('kills a tool and its workers after the time limit', async () => {
    standInTools(join(folder, 'tool'))
    await scan('a', ABDOMEN, 'hang')
    const { failed } = await label({ limitSeconds: 1 })
    expect(failed[0]?.error).toMatchObject({ message: 'TotalSegmentator: no end within 1 s' })
  })

  test('resumes: finished cases are kept, failed and changed ones are labelled again', async () => {
    standInTools(join(folder, 'tool'))
    await scan('a')
    await scan('b', ABDOMEN, 'crash')
    await scan('c')
    expect((await label()).failed).toHaveLength(1)
    await scan('b')
    await scan('c', ABDOMEN.slice(0, 1))
    const again = await label()
    expect(again.failed).toEqual([])
    expect(again.cases.map(({ caseId, reused }) => [caseId, reused])).toEqual([
      ['a', true],
      ['b', false],
      ['c', false],
    ])
    expect(notes).toContain('1 of 3 label maps already written')
    expect(record()).toMatchObject({ complete: true, failed: [] })
    expect(existsSync(join(out, 'logs/b.log'))).toBe(false)
  })

  test('refuses a folder with label maps of other settings, or of another program', async () => {
    standInTools(join(folder, 'tool'))
    await scan('a')
    await label()
    await expect(label({ task: 'total_v3' })).rejects.toMatchObject({
      code: 'usage',
      message: `${out}: holds label maps with other settings (task)`,
    })
    expect((await label({ task: 'total_v3', overwrite: true })).cases[0]?.reused).toBe(false)
    const other = join(folder, 'other')
    mkdirSync(other)
    writeFileSync(join(other, 'a.nii.gz'), 'mine')
    await expect(label({ out: other })).rejects.toMatchObject({
      message: `${join(other, 'a.nii.gz')}: exists without organs.json`,
    })
  })

  test('shows the tool neither the name of a scan nor text of its header', async () => {
    standInTools(join(folder, 'tool'))
    await scan('Doe^Jane')
    const seen = join(folder, 'seen')
    const command = ['/bin/sh', '-c', `echo "$@" > ${seen}; cp "$1" "$2"`, 'sh', '{image}', '{output}']
    await label({ with: { command }, toolPython: undefined, map: '0:0', out: join(folder, 'seen-out') })
    expect(readFileSync(seen, 'utf8')).toMatch(/scan\.nii\.gz .*labels\.nii\.gz\n$/)
    expect(readFileSync(seen, 'utf8')).not.toContain('Doe')
  })
})

describe('refusals', () => {
  test.each<[Partial<LabelOrgansOptions>, string]>([
    [{ with: { command: 'tool {image}' }, toolPython: undefined }, '--with command: no {output} in it'],
    [{ with: { command: 'tool {image} {output}' } }, '--tool-python: no {python} in the command'],
    [
      { with: { command: '"tool {image} {output}' }, toolPython: undefined },
      '--with command: open quote (")',
    ],
    [{ toolArgs: ['--v1_order'] }, '--tool-arg: --v1_order changes the files or ids of the tool'],
    [
      { with: 'lungmask', region: 'abdomen' },
      'lungmask: labels no organ of the abdomen (expected region chest)',
    ],
    [{ labelsMap: 'region' }, '--labels-map: there are no labels'],
    [{ with: { checkpoint: 'x.pt' } }, '--tool-python: a checkpoint runs in the Python of freetumor'],
    [{ task: 'R231' }, 'TotalSegmentator: the ids of task R231 are not known (expected total, total_v3)'],
  ])('%j: %s', async (options, message) => {
    await scan('a')
    await expect(label(options)).rejects.toMatchObject({ code: 'usage', message })
    expect(existsSync(out)).toBe(false)
  })

  test('refuses given labels of another region, whose ids would be other organs', async () => {
    await scan('a')
    const labels = join(folder, 'chest/labelsTr')
    mkdirSync(labels, { recursive: true })
    writeFileSync(
      join(folder, 'chest/dataset.json'),
      JSON.stringify({ labels: { 0: 'background', 1: 'lung', 2: 'lesion' }, training: [] }),
    )
    await expect(label({ labels })).rejects.toMatchObject({
      code: 'usage',
      message: `--labels: label maps of the chest (expected abdomen, found ${labels})`,
    })
  })

  test('refuses to write over the scans', async () => {
    await scan('a')
    await expect(label({ out: join(folder, 'scans') })).rejects.toMatchObject({ code: 'usage' })
  })
})
