import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { ManifestCase } from '../../curation/datasets/manifest.js'
import { remapLabels } from '../../curation/datasets/remap.js'
import { DataError, StoppedError } from '../../errors.js'
import { asRecord, readForeignJson } from '../../foreign-text.js'
import { readJsonLog } from '../../jsonl.js'
import type { SynthesisLine } from '../../quality/ledger.js'
import { innerExtent } from '../../readers/crop.js'
import { type CaseCandidate, sizeClass } from '../../readers/selection.js'
import type { Side } from '../../readers/study.js'
import { findComponents } from '../../volume/components.js'
import { alignTo, applyAffine, voxelVolumeMm3 } from '../../volume/geometry.js'
import { LABEL_SCHEMES, type Organ } from '../../volume/labels.js'
import { readNifti, readNiftiHeader } from '../../volume/nifti.js'
import type { LabelMap, Vec3, Volume } from '../../volume/volume.js'

/** Components of a label below this diameter are crumbs of an annotation. */
const LEAST_DIAMETER_MM = 4

/** A tumor of a data set, with what is needed to crop it. */
export interface StudyTumor extends CaseCandidate {
  readonly case: ManifestCase
  /** Numbers of the painted tumors of a synthetic scan; null without one. */
  readonly tumorsFile: string | null
  readonly organData: Organ
  /** The value of a painted tumor in `tumorsFile`, or the number of a component. */
  readonly number: number
  readonly centreMm: Vec3
  readonly diameterMm: number
  /** Lowest and highest position of a crop, in mm. */
  readonly extent: readonly [Vec3, Vec3]
}

/** Files of a tumor's scan, on one grid. */
export interface StudyScan {
  readonly label: LabelMap
  /** Null without `tumorsFile`. */
  readonly tumors: Volume | null
}

interface Origin {
  readonly dataset: string
  readonly patient: string
  readonly scans: readonly string[]
  readonly tumorsFile: string | null
}

/** Return the tumors of a data set that can become cases. */
export async function tumorsOf(
  side: Side,
  cases: readonly ManifestCase[],
  organs: readonly string[],
  groupOf: (one: ManifestCase, origin: Pick<Origin, 'dataset' | 'patient'>) => string,
  {
    signal,
    folder,
    known,
  }: {
    readonly signal: AbortSignal | undefined
    readonly folder: string
    /** Data set and patient by the SHA-256 of a scan; the real side adds to it, and hosts are found in it. */
    readonly known: Map<string, Pick<Origin, 'dataset' | 'patient'>>
  },
): Promise<{ readonly tumors: StudyTumor[]; readonly oblique: number }> {
  const synthesis = side === 'synthetic' ? await readSynthesis(folder) : null
  const tumors: StudyTumor[] = []
  let oblique = 0
  for (const one of cases) {
    refuseStopped(signal)
    if (one.label === null || one.role.kind !== 'labelled') continue
    const wanted = LABEL_SCHEMES[one.region].organs.filter(({ name }) => organs.includes(name))
    const stated = await originOf(one, synthesis)
    const same = stated.scans.map((sha256) => known.get(sha256)).find((found) => found !== undefined)
    const origin = { ...stated, ...same }
    const { dataset, patient } = origin
    // nothing else: a host CT has other scans and no painted tumors
    if (side === 'real') for (const sha256 of origin.scans) known.set(sha256, { dataset, patient })
    const header = await readNiftiHeader(one.image)
    const extent = innerExtent(header)
    if (extent === null) {
      oblique++
      continue
    }
    const scan = await readLabels(one, origin.tumorsFile, header)
    for (const organ of wanted)
      for (const { number, voxels, centre } of lesionsOf(scan, organ)) {
        const diameterMm = 2 * Math.cbrt((3 * voxels * voxelVolumeMm3(scan.label.affine)) / (4 * Math.PI))
        if (diameterMm < LEAST_DIAMETER_MM) continue
        tumors.push({
          side,
          organ: organ.name,
          size: sizeClass(diameterMm),
          group: groupOf(one, origin),
          patient: origin.patient,
          scans: origin.scans,
          case: one,
          tumorsFile: origin.tumorsFile,
          organData: organ,
          number,
          centreMm: applyAffine(scan.label.affine, centre),
          diameterMm,
          extent,
        })
      }
  }
  return { tumors, oblique }
}

/** Read the label map of a case with the ids of its region, and the numbers of its painted tumors, on the grid of its image. */
export async function readLabels(
  one: ManifestCase,
  tumorsFile: string | null,
  image: Pick<Volume, 'shape' | 'affine'>,
): Promise<StudyScan> {
  const file = one.label!
  const stored = await readNifti(file)
  if (one.labelMap === null)
    throw new DataError(`${file}: unknown label ids (expected a map)`, { hint: 'add --region or --map' })
  const { data } = remapLabels(stored, one.labelMap, file, one.region).label
  const label = alignTo({ ...stored, data }, image, file)
  const tumors = tumorsFile === null ? null : alignTo(await readNifti(tumorsFile), image, tumorsFile)
  return { label, tumors }
}

/** Return the mask of one tumor on the grid of its label map. */
export function lesionMask({ label, tumors }: StudyScan, { organData, number }: StudyTumor): Uint8Array {
  const mask = new Uint8Array(label.data.length)
  if (tumors !== null) {
    for (let at = 0; at < mask.length; at++)
      mask[at] = Number(tumors.data[at] === number && label.data[at] === organData.tumorLabel)
    return mask
  }
  const nz = label.shape[2]
  for (const { row, start, end, component } of findComponents(label, organData.tumorLabel).runs)
    if (component === number) mask.fill(1, row * nz + start, row * nz + end)
  return mask
}

/** Return number, voxels and middle of each tumor of an organ. */
function lesionsOf(
  { label, tumors }: StudyScan,
  { tumorLabel }: Organ,
): { readonly number: number; readonly voxels: number; readonly centre: Vec3 }[] {
  const sums = new Map<number, [i: number, j: number, k: number, n: number]>()
  const [, ny, nz] = label.shape
  for (const { row, start, end, component } of findComponents(label, tumorLabel).runs)
    for (let k = start; k < end; k++) {
      const number = tumors === null ? component : tumors.data[row * nz + k]!
      // of a synthetic scan, a tumor without a number is one of the host
      if (tumors !== null && number === 0) continue
      const sum = sums.get(number) ?? [0, 0, 0, 0]
      sum[0] += Math.floor(row / ny)
      sum[1] += row % ny
      sum[2] += k
      sum[3]++
      sums.set(number, sum)
    }
  return [...sums]
    .sort(([a], [b]) => a - b)
    .map(([number, [i, j, k, n]]) => ({ number, voxels: n, centre: [i / n, j / n, k / n] as const }))
}

interface Synthesis {
  readonly folder: string
  /** SHA-256 of the host of each synthetic file. */
  readonly hosts: ReadonlyMap<string, string>
  /** Host image of each host case. */
  readonly images: ReadonlyMap<string, string>
}

/** Read what a synthesis states of its hosts; a data set of another program states nothing. */
async function readSynthesis(folder: string): Promise<Synthesis> {
  const hosts = new Map<string, string>()
  const ledger = join(folder, 'ledger.jsonl')
  if (await isThere(ledger))
    for await (const line of readJsonLog<SynthesisLine>(ledger))
      if (typeof line.file === 'string' && typeof line.host === 'string') hosts.set(line.file, line.host)
  const list = join(folder, 'hosts.json')
  const entries = (await isThere(list)) ? await readForeignJson(list) : []
  const images = new Map(
    (Array.isArray(entries) ? entries : []).flatMap((entry) => {
      const { case: name, image } = asRecord(entry) ?? {}
      return typeof name === 'string' && typeof image === 'string' ? [[name, image] as const] : []
    }),
  )
  return { folder, hosts, images }
}

/** Return the patient, the data set and the scans behind a case. Of a synthetic case, they are those of its host CT. */
async function originOf(one: ManifestCase, synthesis: Synthesis | null): Promise<Origin> {
  const own = await sha256OfFile(one.image)
  if (synthesis === null)
    return { dataset: one.dataset, patient: one.patient, scans: [own], tumorsFile: null }
  const file = basename(one.image)
  const host = synthesis.hosts.get(file)
  const image = one.parent === undefined ? undefined : synthesis.images.get(one.parent)
  const stated = /^(.+)\/[^/]+$/.exec(one.parent ?? '')?.[1]
  const dataset = stated ?? (image === undefined ? one.dataset : folderOf(image))
  const tumors = join(synthesis.folder, 'tumorsTr', basename(one.label!))
  return {
    dataset,
    patient: one.patient.includes('/') ? one.patient : `${dataset}/${one.patient}`,
    scans: host === undefined ? [own] : [own, host],
    tumorsFile: (await isThere(tumors)) ? tumors : null,
  }
}

/** Return the name of the data set that an image lies in. */
function folderOf(image: string): string {
  const folder = dirname(image)
  return /^images/i.test(basename(folder)) ? basename(dirname(folder)) : basename(folder)
}

/** Throw if the caller has stopped the work. Nothing is kept of a study that is not whole. */
export function refuseStopped(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new StoppedError('readers create: stopped', { hint: 'start it again' }, false)
}

async function isThere(file: string): Promise<boolean> {
  return (await stat(file).catch(() => null)) !== null
}

async function sha256OfFile(file: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file, { highWaterMark: 4 << 20 }), hash)
  return hash.digest('hex')
}
