import { createHash } from 'node:crypto'
import { UsageError } from '../../errors.js'
import { type Manifest, type ManifestCase, makeManifest } from '../datasets/manifest.js'
import { STRATA, type Stratum } from './strata.js'

export interface SplitOptions {
  readonly folds: number
  readonly seed: number
  /**
   * `hash` (default): a fold is a pure function of patient and seed, so adding, removing or relabelling a
   * case moves no other. `even`: patients without a fold are dealt out within their stratum, as evenly as
   * possible; they keep their fold only if the manifest carries it.
   */
  readonly method?: 'hash' | 'even'
  /** Ignore the folds and validation parts of published lists. Default: false. */
  readonly ignorePublished?: boolean
  /** An earlier split whose patients keep their folds. */
  readonly keep?: Manifest | undefined
}

/** The fold of one patient and its origin. */
export interface PatientFold {
  readonly patient: string
  readonly dataset: string
  readonly stratum: Stratum
  readonly fold: number
  readonly by: 'kept' | 'published' | 'hash' | 'even'
}

/** Patients of one data set in one fold, by stratum. */
export interface FoldRow {
  readonly dataset: string
  readonly fold: number
  readonly patients: number
  readonly cases: number
  readonly strata: Readonly<Partial<Record<Stratum, number>>>
}

export interface FoldPlan {
  readonly manifest: Manifest
  readonly patients: readonly PatientFold[]
  readonly table: readonly FoldRow[]
  /** Warnings for the user: empty folds, patients with contradictory published folds. */
  readonly warnings: readonly string[]
}

interface Patient {
  readonly name: string
  readonly dataset: string
  readonly cases: readonly ManifestCase[]
  readonly stratum: Stratum
  given: { readonly fold: number; readonly by: 'kept' | 'published' } | null
}

/**
 * Assign folds to the patients of a manifest. Test cases get none. Published folds are kept. The validation
 * part of a list without fold numbers becomes fold 0 of its data set, and the others share the other folds;
 * so a first validation case in a data set does move others.
 *
 * Balance: ids that end in consecutive numbers are dealt in keyed blocks of one patient per fold. So the
 * folds of a data set differ by one or two patients, and those of a stratum by less than chance. Other ids
 * are hashed one by one; folds of n patients then differ by about sqrt(n). With `even`, every stratum differs
 * by at most one patient.
 * @param strata of every case, by id
 * @throws UsageError if a published fold is not below `folds`
 */
export function assignFolds(
  manifest: Manifest,
  strata: ReadonlyMap<string, Stratum>,
  options: SplitOptions,
): FoldPlan {
  if (!Number.isInteger(options.folds) || options.folds < 2 || options.folds > 100)
    throw new UsageError(`--folds: wrong number (expected 2 to 100, found ${options.folds})`, {
      hint: 'pass another number of folds',
    })
  const patients = patientsOf(manifest, strata)
  const warnings = testedPatients(manifest, patients)
  for (const patient of patients) patient.given = givenFold(patient, options, warnings)
  const dealt = options.method === 'even' ? dealEvenly(patients, options) : null
  const folds = new Map<string, PatientFold>()
  const reserved = reservedFolds(patients, options)
  for (const patient of patients) {
    const { name, dataset, stratum, given } = patient
    const fold = given?.fold ?? dealt?.get(name) ?? hashedFold(name, options, reserved.has(dataset) ? 1 : 0)
    const by = given?.by ?? (dealt ? 'even' : 'hash')
    folds.set(name, { patient: name, dataset, stratum, fold, by })
  }
  const splits = new Map(patients.map((patient) => [patient.name, splitOf(patient, options)]))
  const cases = manifest.cases.map((item) =>
    item.split === 'test'
      ? item
      : { ...item, fold: folds.get(item.patient)!.fold, split: splits.get(item.patient)! },
  )
  const table = tableOf(patients, folds, options.folds)
  return {
    manifest: makeManifest(cases),
    patients: [...folds.values()],
    table,
    warnings: [...warnings, ...emptyFolds(table, options)],
  }
}

/** Return the patients with a case outside the test part, sorted by name. */
function patientsOf(manifest: Manifest, strata: ReadonlyMap<string, Stratum>): Patient[] {
  const byName = new Map<string, ManifestCase[]>()
  for (const item of manifest.cases)
    if (item.split !== 'test') byName.set(item.patient, [...(byName.get(item.patient) ?? []), item])
  const names = [...byName.keys()].sort()
  return names.map((name) => {
    const cases = byName.get(name)!
    // synthetic children follow their host: they carry no information about the patient
    const own = cases.filter((item) => item.parent === undefined)
    const scans = own.length > 0 ? own : cases
    return { name, dataset: scans[0]!.dataset, cases, stratum: gravest(scans, strata), given: null }
  })
}

/** Return a warning for each patient with test cases and other cases, which no split can separate. */
function testedPatients({ cases }: Manifest, patients: readonly Patient[]): string[] {
  const tested = new Set(cases.filter(({ split }) => split === 'test').map(({ patient }) => patient))
  return patients
    .filter(({ name }) => tested.has(name))
    .map(({ name }) => `patient ${name} has test cases and others; remove one side from the manifest`)
}

function gravest(cases: readonly ManifestCase[], strata: ReadonlyMap<string, Stratum>): Stratum {
  const ranks = cases.map(({ id }) => STRATA.indexOf(strata.get(id) ?? 'unlabelled'))
  const labelled = ranks.filter((rank) => STRATA[rank] !== 'unlabelled')
  return STRATA[labelled.length > 0 ? Math.max(...labelled) : STRATA.indexOf('unlabelled')]!
}

/**
 * Return the fold of a patient in an earlier split or a published list; the held-out part wins a
 * contradiction.
 */
function givenFold(patient: Patient, options: SplitOptions, warnings: string[]): Patient['given'] {
  const earlier = options.keep?.cases.find(
    ({ patient: name, fold }) => name === patient.name && fold !== null,
  )
  const fold = earlier?.fold ?? (options.ignorePublished ? null : publishedFold(patient, warnings))
  if (fold === null) return null
  if (fold >= options.folds)
    throw new UsageError(
      `patient ${patient.name}: wrong fold (expected 0 to ${options.folds - 1}, found ${fold})`,
      {
        hint: 'pass more --folds, or pass --ignore-published',
      },
    )
  return { fold, by: earlier ? 'kept' : 'published' }
}

/**
 * Return the split of a patient: all scans stay together, in the published held-out part if one of them is
 * there.
 */
function splitOf({ cases }: Patient, { ignorePublished }: SplitOptions): ManifestCase['split'] {
  return !ignorePublished && cases.some(({ split }) => split === 'validation') ? 'validation' : 'training'
}

function publishedFold({ name, cases }: Patient, warnings: string[]): number | null {
  const stated = cases.map(({ fold, split }) => fold ?? (split === 'validation' ? 0 : null))
  const known = [...new Set(stated.filter((fold) => fold !== null))].sort((a, b) => a - b)
  const chosen = known[0] ?? null
  // a scan of the training part follows a scan of the same patient in validation
  if (chosen !== null && cases.some(({ split, fold }) => split === 'training' && (fold ?? -1) !== chosen))
    if (known.length > 1 || cases.some(({ split }) => split === 'validation'))
      warnings.push(
        `patient ${name} is on both sides of a published split; all its scans go to fold ${chosen}`,
      )
  return chosen
}

/** Return the data sets whose published validation part is fold 0, so that no other patient may join it. */
function reservedFolds(patients: readonly Patient[], { ignorePublished }: SplitOptions): ReadonlySet<string> {
  if (ignorePublished) return new Set()
  const numbered = new Set(
    patients.flatMap(({ cases }) => cases.filter(({ fold }) => fold !== null).map(({ dataset }) => dataset)),
  )
  const held = patients.flatMap(({ cases }) => cases.filter(({ split }) => split === 'validation'))
  return new Set(held.map(({ dataset }) => dataset).filter((dataset) => !numbered.has(dataset)))
}

/**
 * Return a fold from `first` to `folds - 1`: number n of a series has its place in the keyed order of its
 * block of folds.
 */
function hashedFold(name: string, { folds, seed }: SplitOptions, first: number): number {
  const slots = folds - first
  const numbered = /^(.*?)(\d{1,15})(\D*)$/.exec(name)
  if (!numbered) return first + (Number.parseInt(keyed(seed, name).slice(0, 12), 16) % slots)
  const [, before, digits, after] = numbered
  const number = Number(digits)
  const block = `${before}#${after}\0${Math.floor(number / slots)}`
  const order = Array.from({ length: slots }, (_, slot) => ({ slot, key: keyed(seed, `${block}\0${slot}`) }))
  order.sort((a, b) => (a.key < b.key ? -1 : 1))
  return first + order[number % slots]!.slot
}

/** Deal each patient without a fold to the fold with the fewest patients of the same data set and stratum. */
function dealEvenly(patients: readonly Patient[], options: SplitOptions): ReadonlyMap<string, number> {
  const counts = new Map<string, number>()
  const count = (key: string): number => counts.get(key) ?? 0
  const keys = ({ dataset, stratum }: Patient, fold: number) => [
    `${dataset}\0${stratum}\0${fold}`,
    `${dataset}\0${fold}`,
  ]
  const add = (patient: Patient, fold: number): void => {
    for (const key of keys(patient, fold)) counts.set(key, count(key) + 1)
  }
  for (const patient of patients) if (patient.given) add(patient, patient.given.fold)
  const reserved = reservedFolds(patients, options)
  const order = patients
    .filter(({ given }) => given === null)
    .map((patient) => ({ patient, key: keyed(options.seed, patient.name) }))
    .sort((a, b) => (a.key < b.key ? -1 : 1))
  const folds = new Map<string, number>()
  for (const { patient } of order) {
    const first = reserved.has(patient.dataset) ? 1 : 0
    const choices = Array.from({ length: options.folds - first }, (_, at) => first + at)
    const [stratumAt, datasetAt] = [0, 1] as const
    const fewest = choices.sort((a, b) => {
      const [keysA, keysB] = [keys(patient, a), keys(patient, b)]
      return (
        count(keysA[stratumAt]!) - count(keysB[stratumAt]!) ||
        count(keysA[datasetAt]!) - count(keysB[datasetAt]!) ||
        a - b
      )
    })[0]!
    add(patient, fewest)
    folds.set(patient.name, fewest)
  }
  return folds
}

function tableOf(
  patients: readonly Patient[],
  folds: ReadonlyMap<string, PatientFold>,
  numFolds: number,
): FoldRow[] {
  const datasets = [...new Set(patients.map(({ dataset }) => dataset))].sort()
  return datasets.flatMap((dataset) =>
    Array.from({ length: numFolds }, (_, fold) => {
      const inside = patients.filter((one) => one.dataset === dataset && folds.get(one.name)!.fold === fold)
      const strata: Partial<Record<Stratum, number>> = {}
      for (const { stratum } of inside) strata[stratum] = (strata[stratum] ?? 0) + 1
      const cases = inside.reduce((sum, one) => sum + one.cases.length, 0)
      return { dataset, fold, patients: inside.length, cases, strata }
    }),
  )
}

function emptyFolds(table: readonly FoldRow[], { method }: SplitOptions): string[] {
  return table
    .filter(({ patients }) => patients === 0)
    .map(
      ({ dataset, fold }) =>
        `${dataset} has no patient in fold ${fold}${method === 'even' ? '' : '; --even balances its patients'}`,
    )
}

function keyed(seed: number, text: string): string {
  return createHash('sha256').update(`${seed}\0${text}`).digest('hex')
}
