import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { addEvaluateCommand } from '../../../src/cli/commands/evaluate.js'
import { runProgram } from '../../../src/cli/program.js'
import { writeNifti } from '../../../src/volume/nifti-write.js'
import { type MemoryIo, memoryIo } from '../../helpers/cli.js'
import { diagonal, filled } from '../../helpers/nifti-fixtures.js'
import { temporaryFolder } from '../../helpers/temporary.js'

let folder: string
let io: MemoryIo

beforeEach(() => {
  folder = temporaryFolder()
  for (const name of ['masks', 'labels']) mkdirSync(join(folder, name))
  io = memoryIo()
})

/** A liver (1) of 8 x 8 x 8 voxels with `tumorVoxels` of tumor (2, or `id`) in a row from x = `from` on. */
async function writeMask(name: string, tumorVoxels: number, from = 0, id = 2): Promise<void> {
  const volume = filled(
    Uint8Array,
    [8, 8, 8],
    (i, j, k) => (j === 0 && k === 0 && i >= from && i < from + tumorVoxels ? id : 1),
    diagonal([1.5, 1.5, 1.5], [0, 0, 0]),
  )
  await writeNifti(join(folder, name), volume)
}

function evaluate(profile: string, ...more: readonly string[]): Promise<number> {
  const folders = ['--predictions', join(folder, 'masks'), '--labels', join(folder, 'labels')]
  return runProgram(
    [addEvaluateCommand],
    ['evaluate', ...folders, '--profile', profile, '--workers', '1', ...more],
    io,
  )
}

test('evaluate prints and writes the figures, and continues after a damaged pair with exit code 3', async () => {
  for (const name of ['a', 'b', 'broken']) await writeMask(`labels/${name}.nii.gz`, 4)
  await writeMask('masks/a.nii.gz', 4)
  await writeMask('masks/b.nii.gz', 4, 2)
  await writeMask('masks/broken.nii.gz', 4)
  truncateSync(join(folder, 'masks/broken.nii.gz'), 40)
  const out = join(folder, 'out')

  expect(await evaluate('freetumor', '--out', out, '--pictures', '0', '--output', 'json')).toBe(3)

  const printed = JSON.parse(io.stdout.join('\n'))
  const summary = JSON.parse(readFileSync(join(out, 'summary.json'), 'utf8'))
  expect(printed.summary).toEqual(summary)
  expect(summary).toMatchObject({
    profile: 'freetumor',
    grid: 'prepared',
    numCases: 2,
    failedCases: ['broken'],
    classes: { '2': { dice: { mean: 0.75, n: 2 } }, '4': { dice: null } },
    tumorDice: { mean: 0.75, n: 2 },
    lesions: null,
  })
  expect(io.stderr.join('\n')).toMatch(/failed broken: .*masks\/broken\.nii\.gz/)
  expect(readFileSync(join(out, 'cases.csv'), 'utf8')).toContain('b,prepared,2,2,2,2,0.5,,b,0.0135,0.0135\n')
  expect(readFileSync(join(out, 'lesions.csv'), 'utf8')).toMatch(/^case,kind,.*\n$/)
})

test('evaluate prints the schemas of its result files without any masks', async () => {
  for (const name of ['summary', 'comparison']) {
    io = memoryIo()
    expect(await runProgram([addEvaluateCommand], ['evaluate', '--schema', name], io)).toBe(0)
    expect(JSON.parse(io.stdout.join('\n'))).toMatchObject({ type: 'object', additionalProperties: false })
  }
})

test('evaluate compares the lesions of two folders of masks by declared maps, as text and as a page', async () => {
  mkdirSync(join(folder, 'old'))
  await writeMask('labels/a.nii', 6)
  await writeMask('masks/a.nii', 6, 1, 7)
  await writeMask('old/a.nii', 3, 5, 7)
  const out = join(folder, 'out')
  const ids = ['--label-ids', 'liver,liver-tumor', '--tumor-ids', '2']
  const map = ['--map-predictions', '1:1,7:2', '--map-labels', 'region', ...ids]
  const more = ['--against', join(folder, 'old'), '--nsd', '1,2', '--out', out, '--pictures', '1', ...map]
  expect(await evaluate('lesion', ...more)).toBe(0)
  expect(io.stderr).toEqual([])
  const text = io.stdout.join('\n')
  expect(text).toMatch(/^profile lesion: 1 case on the original grid\n/)
  expect(text).toMatch(/\n2, NSD 1 mm +0\.\d+/)
  expect(text).toMatch(/\nlesions, sensitivity +1\.0000 \(1 case\)\n/)
  expect(text).toMatch(/\nfigures of fewer than 6 patients have no interval and no p value, because .*$/)
  expect(text).toMatch(/masks minus old, on the same cases:\ntumor Dice +0\.\d+/)
  expect(JSON.parse(readFileSync(join(out, 'comparison.json'), 'utf8')).numCases).toBe(1)
  expect(readFileSync(join(out, 'report.html'), 'utf8')).toContain('data:image/png;base64,')
})

describe('evaluate refuses', () => {
  test('masks without labels and labels without masks, with exit 3', async () => {
    await writeMask('masks/a.nii', 1)
    await writeMask('labels/b.nii', 1)
    expect(await evaluate('voco')).toBe(3)
    expect(io.stderr[0]).toMatch(
      /its masks do not pair with the labels \(1 mask without a label, first a; 1 label without a mask, first b\)/,
    )
  })

  test('two files of one case', async () => {
    await writeMask('labels/a.nii', 1)
    await writeMask('masks/a.nii', 1)
    writeFileSync(join(folder, 'masks/a.nii.gz'), '')
    expect(await evaluate('voco')).toBe(3)
    expect(io.stderr[0]).toContain('a.nii and a.nii.gz have equal case names')
  })

  test('a profile of tumors when no tumor is measured, and a tumor that is not', async () => {
    expect(await evaluate('lesion', '--label-ids', '1')).toBe(2)
    expect(io.stderr[0]).toContain('no tumor id is among the labels')
    expect(await evaluate('lesion', '--label-ids', '1', '--tumor-ids', '2')).toBe(2)
    expect(io.stderr.join('\n')).toContain('--tumor-ids: 2 is not a label id (expected one of 1)')
  })

  test('folders that hold nothing or cannot be read, and ids that are none', async () => {
    expect(await evaluate('voco')).toBe(2)
    expect(io.stderr[0]).toContain('masks: no mask found')
    expect(await evaluate('voco', '--labels', join(folder, 'nowhere'))).toBe(2)
    expect(await evaluate('voco', '--label-ids', '0,1')).toBe(2)
    expect(await evaluate('voco', '--label-ids', '1,1')).toBe(2)
    expect(await evaluate('voco', '--nsd', '0')).toBe(2)
    expect(await evaluate('lesion', '--iou', '1.5')).toBe(2)
    expect(await evaluate('voco', '--map', 'nonsense')).toBe(2)
    expect(await evaluate('theirs')).toBe(2)
  })
})
