import { readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { checkCase } from '../../../src/curation/check/case.js'
import type { ManifestCase } from '../../../src/curation/datasets/manifest.js'
import { findPreset } from '../../../src/curation/datasets/presets.js'
import { makePhantom } from '../../../src/phantom/make.js'
import { madeCase } from '../../helpers/made-cases.js'
import { temporaryFolder } from '../../helpers/temporary.js'

const { image, label } = makePhantom({ region: 'abdomen', index: 1, seed: 3, sizeVoxels: 48, tumors: true })
const MAP = { labelMap: findPreset('region', 'abdomen').map }
const HEAD = Buffer.alloc(128)

describe('checkCase names the true cause, and no other', () => {
  it('finds nothing in the phantom of these tests', async () => {
    expect(await foundIn(await caseWith(image.data, label.data))).toEqual([])
  })

  it.each<[fault: string, edit: (hu: number, n: number) => number, rule: string, words: RegExp]>([
    ['HU times 9.758', (hu) => hu * 9.758, 'hu-scaled', /HU times about 9\.\d.* correct scl_slope/],
    ['HU times 2', (hu) => hu * 2, 'hu-scaled', /HU times about [12]\.?\d*/],
    ['HU times 0.1', (hu) => Math.round(hu * 0.1), 'hu-scaled', /HU times about 0\.1/],
    ['HU divided by 1000', (hu) => hu / 1000, 'hu-scaled', /HU times about 0\.001/],
    [
      'a slope of 2 with its intercept',
      (hu) => (hu + 1024) * 2 - 1024,
      'hu-scaled',
      /about 2 .*DICOM series/,
    ],
    ['a lost intercept', (hu) => hu + 1024, 'rescale-lost', /intercept was lost/],
    ['a lost sign', (hu) => (hu + 65_536) % 65_536, 'hu-wrapped', /without sign.*signed type/],
    ['an intensity window', (hu) => Math.min(250, Math.max(-175, hu)), 'windowed', /clipped/],
    ['a picture', (hu) => Math.round((Math.min(250, Math.max(-175, hu)) + 175) * 0.6), 'windowed', /picture/],
    ['no content', () => -1024, 'constant', /every voxel is -1024/],
    ['NaN in the image', (hu, n) => (n === 5 ? Number.NaN : hu), 'non-finite', /1 voxel is NaN/],
  ])('%s', async (_, edit, rule, words) => {
    expect(await foundIn(await caseWith(Float32Array.from(image.data, edit), label.data))).toEqual([
      [rule, expect.stringMatching(words)],
    ])
  })

  it.each<[fault: string, edit: (id: number, n: number) => number, rule: string, words: RegExp]>([
    ['id -1', (id, n) => (n === 0 ? -1 : id), 'label-values', /found -1: a negative id.*ignore/],
    ['NaN in the label', (id, n) => (n < 3 ? Number.NaN : id), 'label-values', /NaN: not a number/],
    ['id 4.99995', (id) => id * 0.99999, 'label-values', /nearly an integer.*data remap --round/],
    ['id 2.5', (id) => id * 0.5, 'label-values', /a fraction.*interpolation/],
    ['ids times 10.92', (id) => id * 10.921457, 'label-values', /ids times 10\.92.*scl_slope/],
    ['an unknown id', (id, n) => (n === 0 ? 99 : id), 'label-ids', /found 99 in 1 voxel/],
    ['an empty label', () => 0, 'no-organ', /empty label/],
  ])('%s', async (_, edit, rule, words) => {
    expect(await foundIn(await caseWith(image.data, Float32Array.from(label.data, edit)))).toEqual([
      [rule, expect.stringMatching(words)],
    ])
  })

  it.each<[fault: string, content: (whole: Buffer) => Buffer, words: RegExp]>([
    ['DICOM', () => Buffer.concat([HEAD, Buffer.from('DICM'), HEAD]), /found DICOM.*freetumor data convert/],
    ['NRRD', () => Buffer.from('NRRD0004\ntype: short\n'), /found NRRD.*3D Slicer/],
    ['MetaImage', () => Buffer.from('ObjectType = Image\nNDims = 3\n'), /found MetaImage.*3D Slicer/],
    ['HDF5', () => Buffer.from('\x89HDF\r\n', 'latin1'), /found HDF5/],
    ['NumPy', () => Buffer.from('\x93NUMPY\x01\0', 'latin1'), /found NumPy.*affine/],
    ['a ZIP archive', () => Buffer.from('PK\x03\x04abcd', 'latin1'), /found a ZIP archive.*unzip/],
    ['a Git LFS pointer', () => Buffer.from('version https://git-lfs.github.com/spec/v1\n'), /git lfs pull/],
    ['a truncated download', (whole) => whole.subarray(0, 5000), /truncated.*again/],
  ])('%s under the name of a scan', async (_, content, words) => {
    const item = await caseWith(image.data, label.data)
    writeFileSync(item.image, content(readFileSync(item.image)))
    expect(await foundIn(item)).toEqual([['unreadable', expect.stringMatching(words)]])
  })
})

function caseWith(hu: Int16Array | Float32Array, ids: Uint8Array | Float32Array): Promise<ManifestCase> {
  return madeCase(temporaryFolder(), { ...image, data: hu }, { ...label, data: ids }, MAP)
}

/** Return rule, message and remedy of each error and warning. */
async function foundIn(item: ManifestCase): Promise<[rule: string, text: string][]> {
  const findings = await checkCase(item, { prepared: null, maxBytes: null })
  return findings
    .filter(({ severity }) => severity !== 'info')
    .map(({ rule, message, fix }) => [rule, `${message} ${fix}`])
}
