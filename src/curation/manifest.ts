import { randomUUID } from 'node:crypto'
import { access, readFile, rename, writeFile } from 'node:fs/promises'
import { z } from 'zod'
import { DataError } from '../errors.js'
import { LABEL_SCHEMES, type Region } from '../volume/labels.js'
import { type CaseList, type ListedCase, stemOf } from './lists.js'
import { type Dataset, type LabelIdMap, tumorOrgans } from './registry.js'

const caseSchema = z.strictObject({
  /** `dataset/stem`, unique in a manifest. */
  id: z.string().min(1),
  dataset: z.string().min(1),
  /** Cases of one patient never stand on both sides of a split. */
  patient: z.string().min(1),
  region: z.enum(['abdomen', 'chest']),
  role: z.discriminatedUnion('kind', [
    z.strictObject({
      kind: z.literal('labelled'),
      organs: z.array(z.enum(['liver', 'pancreas', 'kidney', 'lung'])),
    }),
    z.strictObject({ kind: z.literal('host') }),
  ]),
  image: z.string().min(1),
  label: z.string().min(1).nullable(),
  fold: z.int().min(0).nullable(),
  split: z.enum(['training', 'validation', 'test']),
  labelMap: z.record(z.string().regex(/^\d+$/), z.int().min(0).max(255)),
  /** Id of the case that a synthetic one was made from. */
  parent: z.string().min(1).optional(),
})
const manifestSchema = z.strictObject({ version: z.literal(1), cases: z.array(caseSchema) })

export interface ManifestCase {
  readonly id: string
  readonly dataset: string
  readonly patient: string
  readonly region: Region
  readonly role: { readonly kind: 'labelled'; readonly organs: readonly string[] } | { readonly kind: 'host' }
  readonly image: string
  readonly label: string | null
  readonly fold: number | null
  readonly split: 'training' | 'validation' | 'test'
  readonly labelMap: LabelIdMap
  /** Id of the case that a synthetic one was made from; see `childCase`. */
  readonly parent?: string | undefined
}

export interface Manifest {
  readonly version: 1
  readonly cases: readonly ManifestCase[]
}

/** Listed files that do not exist, by data set. */
export interface MissingFiles {
  readonly dataset: string
  readonly count: number
  readonly example: string
}

export interface DatasetCases {
  readonly cases: readonly ManifestCase[]
  readonly missing: readonly MissingFiles[]
}

/**
 * The cases of one data set: ids, patients and roles by what is known of it. A case whose image or label does not exist
 * is left out and counted.
 * @throws DataError when none is left, or when nobody says what the label ids mean
 */
export async function casesOf(list: CaseList, dataset: Dataset): Promise<DatasetCases> {
  const labelMap = dataset.labelMap ?? mapByNames(list, dataset)
  const present: ListedCase[] = []
  const absent: string[] = []
  for (const listed of list.cases) {
    const lost = await missingFileOf(listed)
    if (lost === null) present.push(listed)
    else absent.push(lost)
  }
  if (present.length === 0)
    throw new DataError(
      `${list.source}: none of its ${list.cases.length} cases exists, first ${absent[0] ?? 'none is listed'}`,
      { hint: 'paths are tried under the data root, under the data set and beside the list' },
    )
  const cases = present.map((listed) => caseOf(listed, dataset, labelMap, list))
  const missing =
    absent.length === 0 ? [] : [{ dataset: dataset.name, count: absent.length, example: absent[0]! }]
  return { cases, missing }
}

/** Puts cases together in one order whatever order they came in. @throws DataError on ids that occur twice */
export function makeManifest(cases: readonly ManifestCase[]): Manifest {
  const sorted = [...cases].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0))
  const twice = sorted.filter((item, at) => at > 0 && item.id === sorted[at - 1]!.id)
  if (twice.length > 0) {
    const { id } = twice[0]!
    const [first, second] = sorted.filter((item) => item.id === id)
    throw new DataError(
      `case ${id} is listed twice, as ${first!.image} (${first!.split}) and ${second!.image} (${second!.split}); ${twice.length} such ids`,
      { hint: 'take one of them out of the list, or give the files names of their own' },
    )
  }
  return { version: 1, cases: sorted }
}

/** Reads a manifest file. @throws DataError that names file and key */
export async function readManifest(file: string): Promise<Manifest> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new DataError(`${file}: cannot be read (${error.code})`, {
      hint: 'make it with `freetumor data import`',
    })
  })
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch (error) {
    throw new DataError(`${file}: is no JSON (${(error as Error).message})`, {
      hint: 'make it again',
      cause: error,
    })
  }
  const parsed = manifestSchema.safeParse(content)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!
    throw new DataError(`${file}: ${issue.path.join('.') || 'the manifest'}: ${issue.message}`, {
      hint: 'make it again with `freetumor data import`',
    })
  }
  return makeManifest(parsed.data.cases)
}

/** Writes a manifest; equal manifests give equal bytes. */
export async function writeManifest(file: string, manifest: Manifest): Promise<void> {
  const temporary = `${file}.${randomUUID()}.tmp`
  await writeFile(temporary, `${JSON.stringify(makeManifest(manifest.cases), null, 2)}\n`)
  await rename(temporary, file)
}

function caseOf(listed: ListedCase, dataset: Dataset, labelMap: LabelIdMap, list: CaseList): ManifestCase {
  const ending = dataset.layout?.kind === 'flat' ? dataset.layout.imageEnding : undefined
  const stem = stemOf(listed.image, ending)
  const testOnly = dataset.role.kind === 'test'
  const split = testOnly ? 'test' : listed.split
  if (listed.label === null && split !== 'test')
    throw new DataError(`${list.source}: ${listed.image} (${split}) has no label`, {
      hint: 'training and validation cases need one; move the case to test, or label it',
    })
  return {
    id: `${dataset.name}/${stem}`,
    dataset: dataset.name,
    patient: `${dataset.name}/${dataset.patientPattern?.exec(stem)?.[1] ?? stem}`,
    region: dataset.region,
    role:
      dataset.role.kind === 'host'
        ? { kind: 'host' }
        : { kind: 'labelled', organs: tumorOrgans(labelMap, dataset.region) },
    image: listed.image,
    label: listed.label,
    fold: listed.fold,
    split,
    labelMap,
  }
}

/** The map of a list that names its ids as the region's scheme does, which is how phantoms and our own output do it. */
function mapByNames(list: CaseList, dataset: Dataset): LabelIdMap {
  const { names } = LABEL_SCHEMES[dataset.region]
  const pairs = Object.entries(list.labelNames ?? {}).map(([id, name]) => [id, names.indexOf(name)] as const)
  if (pairs.length > 1 && pairs.every(([, target]) => target >= 0)) return Object.fromEntries(pairs)
  throw new DataError(`${list.source}: nobody says what the label ids of ${dataset.name} mean`, {
    hint: `give it a labelMap from its ids to those of the ${dataset.region}: ${names.map((name, id) => `${id} ${name}`).join(', ')}`,
  })
}

async function missingFileOf({ image, label }: ListedCase): Promise<string | null> {
  for (const file of [image, label])
    if (file !== null) {
      const found = await access(file).then(
        () => true,
        () => false,
      )
      if (!found) return file
    }
  return null
}
