import { DataError } from '../errors.js'
import { compareGrids } from '../volume/geometry.js'
import { type NiftiVolume, readNifti } from '../volume/nifti.js'
import type { Vec3 } from '../volume/volume.js'
import type { Finding, RuleFinding } from './finding.js'
import { gridFindings, pairFindings, sizeFindings } from './grid-rules.js'
import { imageFacts, imageFindings } from './image-rules.js'
import { anatomyFindings, idFindings, sideFindings } from './label-rules.js'
import type { ManifestCase, MissingFiles } from './manifest.js'
import { remapLabels } from './remap.js'

export interface CheckOptions {
  /** Grid and patch of a run, to tell scans that do not fill a patch; null leaves that rule out. */
  readonly prepared: { readonly spacingMm: Vec3; readonly patchVoxels: Vec3 } | null
  /** Cases read at a time; each needs the memory of its image and label. */
  readonly concurrency: number
  readonly signal?: AbortSignal | undefined
  readonly onCase?: ((done: number, total: number, id: string) => void) | undefined
}

export interface CheckReport {
  /** No finding is an error. */
  readonly ok: boolean
  readonly numCases: number
  readonly findings: readonly Finding[]
}

/** Checks the list and then every case, to its last voxel; findings come in the order of the cases. */
export async function checkCases(
  cases: readonly ManifestCase[],
  missing: readonly MissingFiles[],
  options: CheckOptions,
): Promise<CheckReport> {
  const byCase: Finding[][] = cases.map(() => [])
  let [next, done] = [0, 0]
  const work = async () => {
    for (let at = next++; at < cases.length; at = next++) {
      options.signal?.throwIfAborted()
      byCase[at] = await checkCase(cases[at]!, options)
      options.onCase?.(++done, cases.length, cases[at]!.id)
    }
  }
  await Promise.all(Array.from({ length: Math.max(1, options.concurrency) }, work))
  const findings = [...missing.map(missingFinding), ...listFindings(cases), ...byCase.flat()]
  return { ok: findings.every(({ severity }) => severity !== 'error'), numCases: cases.length, findings }
}

/** Reads one case and applies every rule to it. */
export async function checkCase(
  item: ManifestCase,
  options: Pick<CheckOptions, 'prepared'>,
): Promise<Finding[]> {
  const found: Finding[] = []
  const report = (file: string, findings: readonly RuleFinding[]) => {
    for (const finding of findings) found.push({ ...finding, case: item.id, file })
  }
  const image = await readOrReport(item.image, report)
  if (image) {
    report(item.image, [...gridFindings(image), ...imageFindings(imageFacts(image.data))])
    if (options.prepared) {
      const { spacingMm, patchVoxels } = options.prepared
      report(item.image, sizeFindings(image, spacingMm, patchVoxels))
    }
  }
  if (item.label === null) return found
  const label = await readOrReport(item.label, report)
  if (!label) return found
  if (image) report(item.label, pairFindings(image, label))
  report(item.label, labelFindings(label, image, item, item.label))
  return found
}

/** Rules on the list as a whole: ids, files and patients that occur where they must not. */
export function listFindings(cases: readonly ManifestCase[]): Finding[] {
  return [
    ...twins(cases, ({ id }) => id).map(([first, second]) =>
      listFinding(
        'duplicate-id',
        second,
        `the id is taken by ${first.image}`,
        'give the files names of their own, or list the case once',
      ),
    ),
    ...twins(cases, ({ image }) => image).map(([first, second]) =>
      listFinding(
        'duplicate-image',
        second,
        `the image is also that of ${first.id} (${first.split})`,
        'list it once',
      ),
    ),
    ...patientsInTwoSplits(cases).map(([first, second]) =>
      listFinding(
        'patient-in-two-splits',
        second,
        `its patient is in ${second.split} here and in ${first.split} as ${first.id}`,
        'keep all scans of a patient on one side of a split',
      ),
    ),
  ]
}

async function readOrReport(
  file: string,
  report: (file: string, findings: readonly RuleFinding[]) => void,
): Promise<NiftiVolume | null> {
  try {
    return await readNifti(file)
  } catch (error) {
    report(file, [asFinding('unreadable', error, file)])
    return null
  }
}

function labelFindings(
  label: NiftiVolume,
  image: NiftiVolume | null,
  item: ManifestCase,
  file: string,
): RuleFinding[] {
  const ids = idFindings(label, item.labelMap, file)
  // A label that repeats its image's odd grid says nothing new.
  const grid = image && compareGrids(image, label).kind === 'same' ? [] : gridFindings(label)
  if (ids.length > 0) return [...grid, ...ids]
  try {
    const remapped = remapLabels(label, item.labelMap, file, item.region)
    return [...grid, ...anatomyFindings(remapped.label, item), ...sideFindings(label, item.dataset)]
  } catch (error) {
    return [...grid, asFinding('label-ids', error, file)]
  }
}

/** @throws what is no DataError, and so no finding but a fault of ours */
function asFinding(rule: Finding['rule'], error: unknown, file: string): RuleFinding {
  if (!(error instanceof DataError)) throw error
  return {
    rule,
    severity: 'error',
    message: error.message.replace(`${file}: `, ''),
    fix: error.hint ?? 'fetch it again',
  }
}

function missingFinding({ dataset, count, example }: MissingFiles): Finding {
  return {
    rule: 'missing-files',
    severity: 'error',
    case: dataset,
    file: example,
    message: `${count} listed cases lack a file, first this one`,
    fix: 'fetch the files, or take the cases out of the list',
  }
}

function listFinding(
  rule: Finding['rule'],
  { id, image }: ManifestCase,
  message: string,
  fix: string,
): Finding {
  return { rule, severity: 'error', case: id, file: image, message, fix }
}

function twins(
  cases: readonly ManifestCase[],
  keyOf: (item: ManifestCase) => string,
): (readonly [ManifestCase, ManifestCase])[] {
  const first = new Map<string, ManifestCase>()
  return cases.flatMap((item) => {
    const earlier = first.get(keyOf(item))
    if (!earlier) first.set(keyOf(item), item)
    return earlier ? [[earlier, item] as const] : []
  })
}

function patientsInTwoSplits(cases: readonly ManifestCase[]): (readonly [ManifestCase, ManifestCase])[] {
  const first = new Map<string, ManifestCase>()
  return cases.flatMap((item) => {
    const earlier = first.get(item.patient)
    if (!earlier) first.set(item.patient, item)
    return earlier && earlier.split !== item.split && earlier.id !== item.id ? [[earlier, item] as const] : []
  })
}
