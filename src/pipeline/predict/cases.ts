import type { LeftOut } from '../../curation/datasets/file-names.js'
import { labelFiles } from '../../curation/datasets/label-files.js'
import type { ListedCase, Split } from '../../curation/datasets/lists.js'
import { scansAt } from '../../curation/datasets/scans.js'
import { DataError } from '../../errors.js'
import type { Region } from '../../volume/labels.js'

/** A scan to predict. */
export interface ScanCase {
  /** Name of the case, and of its mask. */
  readonly id: string
  readonly image: string
  readonly organMask: string | null
  readonly label: string | null
}

export interface ScansToPredict {
  readonly scans: readonly ScanCase[]
  /** Files that look like scans and are not taken. */
  readonly leftOut: readonly LeftOut[]
  readonly notes: readonly string[]
}

/**
 * Return the scans at a path of any layout, with the label maps of equal names. A listed file that does not
 * exist fails as a case of its own.
 * @throws DataError for a path without a scan, or two scans of one name; UsageError for a list of several splits
 */
export async function scansOf(
  images: string,
  split: Split | undefined,
  more: {
    readonly organMasks?: string | undefined
    readonly labels?: string | undefined
    readonly allowOutside?: boolean | undefined
    /** Region of masks that are merged into labels. Default: the region whose organs they show. */
    readonly region?: Region | undefined
  } = {},
): Promise<ScansToPredict> {
  const { scans, leftOut, notes } = await scansAt(images, { split, allowOutside: more.allowOutside })
  refuseTwins(scans)
  const names = scans.map(({ name }) => name)
  const [masks, labels] = [
    await labelFiles(more.organMasks, names, more.region),
    await labelFiles(more.labels, names, more.region),
  ]
  return {
    scans: scans.map(({ name, image }) => ({
      id: name,
      image,
      organMask: masks.files.get(name) ?? null,
      label: labels.files.get(name) ?? null,
    })),
    leftOut: [...leftOut, ...masks.leftOut, ...labels.leftOut],
    notes: [...notes, ...masks.notes, ...labels.notes],
  }
}

function refuseTwins(scans: readonly ListedCase[]): void {
  const seen = new Map<string, string>()
  for (const { name, image } of scans) {
    // these names denote one file on a file system that ignores case or Unicode forms
    const key = name.normalize('NFC').toLowerCase()
    const twin = seen.get(key)
    if (twin !== undefined)
      throw new DataError(`${twin} and ${image} would both have the mask ${name}.nii.gz`, {
        hint: 'predict them into separate folders',
      })
    seen.set(key, image)
  }
}
