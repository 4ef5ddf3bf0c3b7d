import { paintsTumors } from '../../config/jobs.js'
import type { DataSection } from '../../config/sections/data.js'
import { knownOverlaps } from '../../curation/audit/known-overlaps.js'
import { type CuratedCase, ownDatasets } from '../../curation/datasets/curate.js'
import { DataError, LeakError, StoppedError } from '../../errors.js'
import { counted } from '../../plain-text.js'
import { readNiftiHeader } from '../../volume/nifti.js'
import type { StageContext } from '../context.js'
import { fingerprintAll, readSavedAudit, type SavedAudit } from './audit.js'
import type { LeakCheckSettings } from './settings.js'

/** A held-out case that a run would train on, under its own name or another. */
export interface Leak {
  readonly kind: 'exact' | 'near' | 'patient' | 'known'
  /** Case ids; one id of a `known` leak is `dataset/*`. */
  readonly training: string
  readonly heldOut: string
  readonly message: string
}

type AllowedLeak = DataSection['allowedLeaks'][number]

/** The two sides of a run. */
interface Sides {
  readonly training: readonly CuratedCase[]
  readonly heldOut: readonly CuratedCase[]
}

/** Headers are small: disks and networks serve several requests at the same time. */
const OPEN_FILES = 16

/**
 * Refuse a run whose training or host cases hold a held-out case: the same voxels, the same patient, a case that is known
 * by its name, or a near-duplicate that the last `freetumor data audit` found. Leaks of `data.allowedLeaks` are noted with
 * their reasons instead. Fingerprints are kept, and only scans with the size of a held-out scan are read.
 * @throws LeakError that names the first pairs
 */
export async function refuseLeaks(
  settings: LeakCheckSettings,
  cases: readonly CuratedCase[],
  context: StageContext,
): Promise<void> {
  const sides = sidesOf(settings, cases)
  if (sides.training.length === 0 || sides.heldOut.length === 0) return
  const audit = await readSavedAudit(settings.prepare.cache)
  noteCoverage(settings, sides, audit, context)
  const leaks = withoutRepeats([
    ...(await exactLeaks(sides, settings, context)),
    ...patientLeaks(sides),
    ...knownLeaks(settings, sides),
    ...auditedLeaks(sides, audit),
  ])
  const { allowedLeaks } = settings.data
  const refused = leaks.filter((leak) => !allowedLeaks.some((allowed) => covers(allowed, leak)))
  if (refused.length > 0) throw leakError(refused)
  for (const allowed of allowedLeaks) noteAllowed(allowed, leaks, context)
}

/** Return the cases that a job samples from, and the cases for its validation or test. */
function sidesOf(settings: LeakCheckSettings, cases: readonly CuratedCase[]): Sides {
  const withHosts = paintsTumors(settings)
  return {
    training: cases.filter(
      ({ split, repeat, role }) =>
        split === 'training' && repeat > 0 && (withHosts || role.kind === 'labelled'),
    ),
    heldOut: cases.filter(({ split }) => split !== 'training'),
  }
}

async function exactLeaks(
  { training, heldOut }: Sides,
  settings: LeakCheckSettings,
  context: StageContext,
): Promise<Leak[]> {
  const sizes = await sizesOf([...training, ...heldOut])
  const sizesHeldOut = new Set(heldOut.map(({ id }) => sizes.get(id)))
  const sizesTraining = new Set(training.map(({ id }) => sizes.get(id)))
  const alike = [
    ...training.filter(({ id }) => sizesHeldOut.has(sizes.get(id))),
    ...heldOut.filter(({ id }) => sizesTraining.has(sizes.get(id))),
  ]
  const { cache, workers } = settings.prepare
  const { signal } = context
  const answers = await fingerprintAll(alike, { cache, workers, signal }).catch((error: unknown) => {
    throw signal?.aborted
      ? new StoppedError('the leak check was stopped', { hint: 'start the run again' })
      : error
  })
  const hashes = new Map(
    answers.map((answer, at) => {
      if ('problem' in answer)
        throw new DataError(answer.problem, { hint: 'run `freetumor data check` for details' })
      return [alike[at]!.id, answer.exact] as const
    }),
  )
  return pairsAlike(training, heldOut, ({ id }) => hashes.get(id), 'exact', 'the same voxels')
}

/** Return the sizes of the scans with sorted axes, so that equal voxels in another axis order have equal sizes. */
async function sizesOf(cases: readonly CuratedCase[]): Promise<ReadonlyMap<string, string>> {
  const sizes = new Map<string, string>()
  const queue = [...cases]
  const work = async () => {
    for (let item = queue.pop(); item; item = queue.pop()) {
      const { shape } = item.geometry ?? (await readNiftiHeader(item.image))
      sizes.set(item.id, [...shape].sort((a, b) => a - b).join('x'))
    }
  }
  await Promise.all(Array.from({ length: OPEN_FILES }, work))
  return sizes
}

function patientLeaks({ training, heldOut }: Sides): Leak[] {
  return pairsAlike(training, heldOut, ({ patient }) => patient, 'patient', 'the same patient')
}

/** Return every pair of a training and a held-out case with the same key; cases without a key are in no pair. */
function pairsAlike(
  training: readonly CuratedCase[],
  heldOut: readonly CuratedCase[],
  keyOf: (item: CuratedCase) => string | undefined,
  kind: Leak['kind'],
  message: string,
): Leak[] {
  const byKey = new Map<string, string[]>()
  for (const item of training) {
    const key = keyOf(item)
    if (key === undefined) continue
    const ids = byKey.get(key)
    if (ids) ids.push(item.id)
    else byKey.set(key, [item.id])
  }
  return heldOut.flatMap((item) =>
    (byKey.get(keyOf(item) ?? '') ?? []).map((id) => ({ kind, training: id, heldOut: item.id, message })),
  )
}

function knownLeaks({ data }: LeakCheckSettings, { training, heldOut }: Sides): Leak[] {
  const { twins } = knownOverlaps([...training, ...heldOut], ownDatasets(data))
  const [trained, tested] = [training, heldOut].map((cases) => new Set(cases.map(({ dataset }) => dataset)))
  return twins.flatMap(({ case: item, dataset, note }): Leak[] => {
    const trains = item.split === 'training'
    if (!(trains ? tested : trained)!.has(dataset)) return []
    // No source states which case of the data set it is.
    const [one, two] = trains ? [item.id, `${dataset}/*`] : [`${dataset}/*`, item.id]
    return [{ kind: 'known', training: one, heldOut: two, message: `known of ${item.dataset}: ${note}` }]
  })
}

function auditedLeaks({ training, heldOut }: Sides, audit: SavedAudit | null): Leak[] {
  const [trains, isHeldOut] = [training, heldOut].map((cases) => new Set(cases.map(({ id }) => id)))
  return (audit?.pairs ?? []).flatMap(({ kind, cases: [a, b], message }): Leak[] => {
    if (kind !== 'near') return []
    if (trains!.has(a) && isHeldOut!.has(b)) return [{ kind, training: a, heldOut: b, message }]
    return trains!.has(b) && isHeldOut!.has(a) ? [{ kind, training: b, heldOut: a, message }] : []
  })
}

/** Return each pair once, with its first kind in the order above. */
function withoutRepeats(leaks: readonly Leak[]): Leak[] {
  const seen = new Set<string>()
  return leaks.filter(({ training, heldOut }) => {
    const key = `${training}\0${heldOut}`
    return !seen.has(key) && seen.add(key)
  })
}

function covers(allowed: AllowedLeak, leak: Leak): boolean {
  return matches(allowed.training, leak.training) && matches(allowed.heldOut, leak.heldOut)
}

function matches(pattern: string, id: string): boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`).test(id)
}

function leakError(leaks: readonly Leak[]): LeakError {
  const lines = leaks
    .slice(0, 5)
    .map(({ training, heldOut, message }) => `  ${heldOut} is held out, ${training} trains: ${message}`)
  const more = leaks.length > 5 ? `\n  and ${leaks.length - 5} more; \`freetumor data audit\` lists all` : ''
  const count = `${leaks.length} held-out ${leaks.length === 1 ? 'case is' : 'cases are'} among the training cases`
  return new LeakError(`${count}:\n${lines.join('\n')}${more}`, {
    hint: 'remove one of each pair (`freetumor data split` keeps patients together), or give the reason in data.allowedLeaks',
    facts: { leaks },
  })
}

function noteAllowed(allowed: AllowedLeak, leaks: readonly Leak[], { note }: StageContext): void {
  const [first, ...more] = leaks.filter((leak) => covers(allowed, leak))
  if (!first) {
    note(
      `data.allowedLeaks (training ${allowed.training}, held out ${allowed.heldOut}): no such leak was found`,
    )
    return
  }
  const others = more.length > 0 ? ` and ${more.length} more` : ''
  note(
    `leak allowed: ${first.heldOut} is held out, ${first.training} trains, ${first.message}${others}. Reason: ${allowed.reason}`,
    'warning',
  )
}

/** Note the cases that no audit compared: their near-duplicates are unknown. */
function noteCoverage(
  { data }: LeakCheckSettings,
  sides: Sides,
  audit: SavedAudit | null,
  { note }: StageContext,
): void {
  const cases = [...sides.training, ...sides.heldOut]
  const seen = new Set(audit?.cases)
  const unseen = cases.filter(({ id }) => !seen.has(id))
  if (unseen.length === 0) return
  const how = '`freetumor data audit CONFIG` searches for crops and resampled copies'
  note(
    audit === null
      ? `no audit searched for near-duplicates: ${how}`
      : `the last audit (${audit.time.slice(0, 10)}) did not compare ${unseen.length} of ${counted(cases.length, 'case')} (first ${unseen[0]!.id}): ${how}`,
  )
  const unseenSets = new Set(unseen.map(({ dataset }) => dataset))
  const [trained, heldOut] = [sides.training, sides.heldOut].map(
    (side) => new Set(side.map(({ dataset }) => dataset)),
  )
  for (const { datasets, note: why } of knownOverlaps(cases, ownDatasets(data)).shared) {
    const [a, b] = datasets
    const apart = (trained!.has(a) && heldOut!.has(b)) || (trained!.has(b) && heldOut!.has(a))
    if (apart && (unseenSets.has(a) || unseenSets.has(b)))
      note(
        `${a} and ${b} are known to share scans (${why}), and a case held out in one may be a training case in the other: ${how}`,
        'warning',
      )
  }
}
