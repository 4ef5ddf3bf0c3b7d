import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { writeNifti } from '../../src/volume/nifti-write.js'
import type { LabelMap } from '../../src/volume/volume.js'
import { writeFiles } from './data-set.js'
import { madeImage, madeLabel } from './made-cases.js'
import { temporaryFolder } from './temporary.js'

/** A data set of two cases as people have it. */
export interface MadeLayout {
  readonly name: string
  /** Writes the data set and returns its path. */
  readonly write: () => Promise<string>
  /** Ids in a manifest. */
  readonly ids: readonly string[]
  /** Names of masks. */
  readonly names: readonly string[]
}

export async function writeVolume(
  file: string,
  volume: LabelMap | ReturnType<typeof madeImage>,
): Promise<void> {
  mkdirSync(dirname(file), { recursive: true })
  if (file.endsWith('.hdr')) await writePair(file, volume)
  else await writeNifti(file, volume)
}

/** Write a volume as a pair: the header in `file`, the voxels in the `.img` next to it. */
export async function writePair(
  file: string,
  volume: LabelMap | ReturnType<typeof madeImage>,
): Promise<void> {
  const single = file.replace(/hdr$/, 'nii')
  await writeNifti(single, volume)
  const bytes = readFileSync(single)
  rmSync(single)
  bytes.write('ni1\0', 344, 'latin1')
  bytes.writeFloatLE(0, 108)
  writeFileSync(file, bytes.subarray(0, 352))
  writeFileSync(file.replace(/hdr$/, 'img'), bytes.subarray(352))
}

/** Two scans that differ, so that no audit finds a copy. */
export function imageOf(at: number) {
  return madeImage((hu, i, j, k) =>
    hu > 0 ? hu + ((i * 31 + j * 17 + k * 7 + at * 101) % 13) * (at + 1) : hu,
  )
}

const LABELS = { background: 0, liver: 1, 'liver tumor': 2, pancreas: 3 }

async function inFolders(
  folder: string,
  names: readonly string[],
  ending: Ending,
  channel = '',
): Promise<string> {
  for (const [at, name] of names.entries()) {
    await writeVolume(join(folder, `imagesTr/${name}${channel}${ending}`), imageOf(at))
    await writeVolume(join(folder, `labelsTr/${name}${ending}`), madeLabel())
  }
  return folder
}

async function inCases(
  folder: string,
  names: readonly string[],
  write: (caseFolder: string) => Promise<void>,
  image: string,
): Promise<string> {
  for (const [at, name] of names.entries()) {
    await writeVolume(join(folder, name, image), imageOf(at))
    await write(join(folder, name))
  }
  return folder
}

/** Write the made label as one mask per organ. */
export async function writeMasks(folder: string, ending: Ending): Promise<void> {
  const { data, ...grid } = madeLabel()
  const parts = { liver: [1, 2], liver_tumor: [2], pancreas: [3], spleen: [9] }
  for (const [name, ids] of Object.entries(parts))
    await writeVolume(join(folder, `segmentations/${name}${ending}`), {
      ...grid,
      data: data.map((id) => Number(ids.includes(id))),
    })
}

const mine = () => join(temporaryFolder(), 'Mine')
const TWO = ['a', 'b']
const OWN = ['Mine/a', 'Mine/b']

type Ending = '.nii.gz' | '.hdr'

function layouts(ending: Ending): MadeLayout[] {
  return [
    { name: 'imagesTr and labelsTr', ids: OWN, names: TWO, write: () => inFolders(mine(), TWO, ending) },
    {
      name: 'nnU-Net',
      ids: OWN,
      names: TWO,
      write: async () => {
        const folder = await inFolders(mine(), TWO, ending, '_0000')
        writeFiles(folder, {
          'dataset.json': { channel_names: { '0': 'CT' }, labels: LABELS, file_ending: ending },
        })
        return folder
      },
    },
    {
      name: 'a whole nnUNet_raw',
      ids: ['Dataset501_Mine/a', 'Dataset502_Other/a'],
      names: ['Dataset501_Mine__a', 'Dataset502_Other__a'],
      write: async () => {
        const raw = join(temporaryFolder(), 'nnUNet_raw')
        for (const [at, name] of ['Dataset501_Mine', 'Dataset502_Other'].entries()) {
          await writeVolume(join(raw, name, `imagesTr/a_0000${ending}`), imageOf(at))
          await writeVolume(join(raw, name, `labelsTr/a${ending}`), madeLabel())
          const content = { channel_names: { '0': 'CT' }, labels: LABELS, file_ending: ending }
          writeFiles(join(raw, name), { 'dataset.json': content })
        }
        return raw
      },
    },
    {
      name: 'decathlon list',
      ids: OWN,
      names: TWO,
      write: async () => {
        const folder = await inFolders(mine(), TWO, ending)
        const training = TWO.map((name) => ({
          image: `./imagesTr/${name}${ending}`,
          label: `./labelsTr/${name}${ending}`,
        }))
        writeFiles(folder, {
          'dataset.json': { labels: { '1': 'liver', '2': 'liver tumor', '3': 'pancreas' }, training },
        })
        return folder
      },
    },
    {
      name: 'folder per case of KiTS',
      ids: ['Mine/case_00000', 'Mine/case_00001'],
      names: ['case_00000', 'case_00001'],
      write: async () => {
        const folder = await inCases(
          mine(),
          ['case_00000', 'case_00001'],
          (path) => writeVolume(join(path, `segmentation${ending}`), madeLabel()),
          `imaging${ending}`,
        )
        writeFiles(folder, { 'kits23.json': [{ case_id: 'case_00000' }] })
        return folder
      },
    },
    {
      name: 'folder per case of TotalSegmentator',
      ids: ['Mine/s0000', 'Mine/s0001'],
      names: ['s0000', 's0001'],
      write: async () => {
        const folder = await inCases(
          mine(),
          ['s0000', 's0001'],
          (path) => writeMasks(path, ending),
          `ct${ending}`,
        )
        writeFiles(folder, { 'meta.csv': 'image_id;age\n' })
        return folder
      },
    },
    {
      name: 'folder per case of AbdomenAtlas',
      ids: ['Mine/BDMAP_00000001', 'Mine/BDMAP_00000002'],
      names: ['BDMAP_00000001', 'BDMAP_00000002'],
      write: () =>
        inCases(
          mine(),
          ['BDMAP_00000001', 'BDMAP_00000002'],
          async (path) => {
            await writeMasks(path, ending)
            await writeVolume(join(path, `combined_labels${ending}`), madeLabel())
          },
          `ct${ending}`,
        ),
    },
  ]
}

/** Every layout, with single files and with pairs. */
export const LAYOUTS: readonly MadeLayout[] = [
  ...layouts('.nii.gz'),
  ...layouts('.hdr').map((layout) => ({ ...layout, name: `${layout.name}, as pairs` })),
]
