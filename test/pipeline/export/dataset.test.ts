import { execFileSync } from 'node:child_process'
import { copyFileSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { childCase } from '../../../src/curation/datasets/child.js'
import {
  type ManifestCase,
  makeManifest,
  readManifest,
  writeManifest,
} from '../../../src/curation/datasets/manifest.js'
import { writePhantomDataset } from '../../../src/phantom/dataset.js'
import { importData } from '../../../src/pipeline/data/import.js'
import { exportDatasetOf } from '../../../src/pipeline/export/dataset.js'
import { readNifti } from '../../../src/volume/nifti.js'
import { keptFolder } from '../../helpers/temporary.js'

const NNUNETV2 = process.env.FREETUMOR_NNUNETV2
const folder = keptFolder()
const manifest = join(folder, 'all.json')
let cases: readonly ManifestCase[] = []

/** Six phantoms; two of them are hosts of synthetic cases, one of which has two. */
beforeAll(async () => {
  const own = join(folder, 'own.json')
  await writePhantomDataset({ out: join(folder, 'P'), region: 'abdomen', cases: 6, sizeVoxels: 24, seed: 4 })
  await importData({ lists: [join(folder, 'P')], out: own, workers: 1 })
  const hosts = (await readManifest(own)).cases
  const children = [0, 0, 3].map((host, at) => {
    const parent = hosts[host]!
    const [image, label] = [parent.image, parent.label!].map((file) => {
      const copy = join(dirname(file), `synthetic_${at}.nii.gz`)
      copyFileSync(file, copy)
      return copy
    })
    return childCase(parent, { id: `synthetic/${at}`, image: image!, label: label! }, ['liver'])
  })
  cases = [...hosts, ...children]
  await writeManifest(manifest, makeManifest(cases))
})

const json = (...path: string[]) => JSON.parse(readFileSync(join(...path), 'utf8'))

describe('export of a data set to nnU-Net', () => {
  test('keeps synthetic cases with their hosts in every fold, and holds out each case once', async () => {
    const made = await exportDatasetOf([manifest], {
      to: 'nnunet',
      out: join(folder, 'a'),
      folds: 3,
      number: 7,
    })
    expect(made).toMatchObject({ training: 9, test: 0, synthetic: 3, out: join(folder, 'a', 'Dataset007_P') })
    const splits: { train: string[]; val: string[] }[] = json(made.out, 'splits_final.json')
    const described: { name: string; case: string; parent: string | null }[] = json(made.out, 'cases.json')
    const nameOf = new Map(described.map((one) => [one.case, one.name]))
    expect(splits.flatMap(({ val }) => val).sort()).toEqual([...nameOf.values()].sort())
    for (const { train, val } of splits) {
      expect([...train, ...val].sort()).toEqual([...nameOf.values()].sort())
      for (const { name, parent } of described)
        if (parent !== null) expect(val.includes(name)).toBe(val.includes(nameOf.get(parent)!))
    }
    expect(made.folds).toEqual(splits.map(({ val }) => val.length))
  })

  test('copies scans, and writes labels under ids without gaps', async () => {
    const map = '1:liver,2:liver-tumor,3:0,4:0,5:kidney,6:0'
    const made = await exportDatasetOf([join(folder, 'P')], {
      ...{ to: 'nnunet', out: join(folder, 'b'), folds: 2, region: 'abdomen', map },
    })
    expect(json(made.out, 'dataset.json')).toEqual({
      name: 'P',
      channel_names: { '0': 'CT' },
      labels: { background: 0, liver: 1, 'liver tumor': 2, kidney: 3 },
      numTraining: made.training,
      file_ending: '.nii.gz',
    })
    const { name } = json(made.out, 'cases.json').find((one: { case: string }) => one.case === cases[0]!.id)
    const image = readFileSync(join(made.out, 'imagesTr', `${name}_0000.nii.gz`))
    expect(image.equals(readFileSync(cases[0]!.image))).toBe(true)
    const [before, after] = await Promise.all(
      [cases[0]!.label!, join(made.out, 'labelsTr', `${name}.nii.gz`)].map((file) => readNifti(file)),
    )
    const expected = Array.from(before!.data, (id) => [0, 1, 2, 0, 0, 3, 0][id]!)
    expect(expected).toContain(3)
    expect(Array.from(after!.data)).toEqual(expected)
  })

  test.skipIf(NNUNETV2 === undefined)(
    "passes nnunetv2's own check (needs FREETUMOR_NNUNETV2: a Python with nnunetv2 2.8.1)",
    async () => {
      const made = await exportDatasetOf([manifest], { to: 'nnunet', out: join(folder, 'c'), folds: 2 })
      const program =
        'import sys; from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity as check; check(sys.argv[1], 1)'
      const env = { ...process.env, nnUNet_raw: folder, nnUNet_preprocessed: folder, nnUNet_results: folder }
      const said = execFileSync(NNUNETV2!, ['-c', program, made.out], {
        env,
        encoding: 'utf8',
        stdio: 'pipe',
      })
      expect(said).toMatch(/verify_dataset_integrity Done/)
      expect(said).not.toMatch(/warning|error:/i)
    },
  )

  test('holds out patients in every fold, or refuses the number of folds', async () => {
    const out = join(folder, 'g')
    const made = await exportDatasetOf([manifest], { to: 'nnunet', out, folds: 6 })
    expect(made.folds.every((count) => count > 0)).toBe(true)
    const seven = exportDatasetOf([manifest], { to: 'nnunet', out: join(folder, 'h'), folds: 7 })
    await expect(seven).rejects.toMatchObject({
      message: expect.stringMatching(/no case in fold \d .*in each of 7 folds, found them in 6\)/),
      commandHint: 'pass --folds 6',
    })
  })

  test('refuses a folder with content, a wrong number, and ids without a meaning', async () => {
    const out = join(folder, 'd')
    await exportDatasetOf([manifest], { to: 'nnunet', out, folds: 2 })
    const again = exportDatasetOf([manifest], { to: 'nnunet', out, folds: 2 })
    await expect(again).rejects.toThrow(/Dataset501_P: wrong folder \(expected a new or empty one, found/)
    const number = exportDatasetOf([manifest], { to: 'nnunet', out, number: 1000 })
    await expect(number).rejects.toThrow('--number: wrong number (expected 1 to 999, found 1000)')
    const unmapped = join(folder, 'unmapped.json')
    await writeManifest(unmapped, makeManifest(cases.map((item) => ({ ...item, labelMap: null }))))
    const meaningless = exportDatasetOf([unmapped], { to: 'nnunet', out: join(folder, 'e') })
    await expect(meaningless).rejects.toThrow(/the label ids have no stated meaning/)
    expect(readdirSync(folder)).not.toContain('e')
  })
})

test('an export to decathlon writes one list for each fold, which import reads', async () => {
  const made = await exportDatasetOf([manifest], { to: 'decathlon', out: join(folder, 'f'), folds: 2 })
  const lists = [0, 1].map((fold) => json(made.out, `dataset_${fold}.json`))
  for (const [fold, { training, validation }] of lists.entries()) {
    expect(validation).toHaveLength(made.folds[fold]!)
    expect(training.length + validation.length).toBe(9)
  }
  const read = await importData({
    ...{
      lists: [join(made.out, 'dataset_0.json')],
      root: made.out,
      out: join(folder, 'again.json'),
      workers: 1,
    },
    ...{ region: 'abdomen', map: 'region' },
  })
  expect(read.numCases).toBe(9)
})
