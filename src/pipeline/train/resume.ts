import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { access, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Change, configChanges, decidingHash, isOfRanks } from '../../config/changes.js'
import { loadConfig, recordConfig } from '../../config/load.js'
import type { RunConfig } from '../../config/schema.js'
import { parseYaml } from '../../config/yaml.js'
import { CheckpointError, ConfigError, DataError, UsageError } from '../../errors.js'
import { asRecord, readForeignJson, readForeignText } from '../../foreign-text.js'
import { type Checkpoint, openNewestGood } from '../../training/checkpoints.js'
import { sweepUnfinished, writeWhole } from '../../whole-file.js'
import { filesOfWeights } from '../checkpoint/checkpoint-file.js'
import { identityOf } from '../checkpoint/plugin.js'
import type { EarlierWeights } from '../plan/spec.js'
import type { TrainingCase } from '../prepare/run.js'
import { type ReviewSummary, readReviewSummary } from '../review-summary.js'

export interface Note {
  readonly level: 'info' | 'warning'
  readonly text: string
}

/** The checkpoint that a run resumes from, and notes for its log. */
export interface ResumePoint extends Checkpoint {
  readonly notes: readonly Note[]
}

/** Hashes of the inputs of a run; all its parts must have the same hashes. */
export interface InputHashes {
  readonly config: string
  readonly data: string
}

/** Check that a folder holds a run, without changing anything. @throws UsageError if it holds none */
export async function refuseNothingToResume(run: string): Promise<void> {
  await access(join(run, 'config.resolved.yaml')).catch(() => {
    throw new UsageError(`${run}: holds no run to resume`, {
      hint: 'name the --out of `freetumor train`; `freetumor runs list` lists the runs',
    })
  })
}

/**
 * Choose the checkpoint that a stopped or killed run resumes from: the newest with complete files; null for a run that
 * ended before its first save, which restarts from step 0. In a refused run, only partially written files are removed and
 * damaged checkpoints renamed.
 * @throws CheckpointError if all checkpoints are damaged, ConfigError that names the changed keys of the configuration
 */
export async function openResumePoint(
  run: string,
  config: RunConfig,
  acceptChanges: boolean,
): Promise<ResumePoint | null> {
  const notes: Note[] = []
  await sweepUnfinished(run)
  const checkpoint = await openNewestGood(run, (text) => notes.push({ level: 'warning', text }))
  if (checkpoint === null) {
    if (await everSaved(run)) throw nothingWhole(run, notes)
    return null
  }
  const passedOver = notes.length > 0
  if (passedOver)
    notes.push({ level: 'warning', text: `resuming from the checkpoint of step ${checkpoint.step}` })
  notes.push(...(await compareConfig(run, checkpoint, config, acceptChanges)))
  return { ...checkpoint, notes }
}

/** Record the inputs of a run, or of this part of it: `config.resolved.yaml` and `data.json`. */
export async function recordInputs(
  run: string,
  config: RunConfig,
  cases: readonly TrainingCase[],
): Promise<void> {
  await writeWhole(join(run, 'config.resolved.yaml'), recordConfig(config))
  const lines = caseLines(cases).map((line) => JSON.stringify(line))
  await writeWhole(join(run, 'data.json'), `[\n${lines.join(',\n')}\n]\n`)
}

/**
 * Return the hashes that the checkpoints of this part of a run record.
 * @param reviews SHA-256 of the review file
 * @param calibration SHA-256 of the calibration file
 */
export async function hashInputs(
  config: RunConfig,
  cases: readonly TrainingCase[],
  weights: EarlierWeights,
  reviews: string | null,
  calibration: string | null,
): Promise<InputHashes> {
  // weights that a network only starts from are part of its later checkpoints
  const used = config.job === 'synthesis' ? (['baseline'] as const) : (['baseline', 'generator'] as const)
  const content = await Promise.all(
    used.map(async (network) => {
      const plugin = weights.plugins?.[network]
      if (plugin !== undefined) return JSON.stringify(identityOf(plugin))
      const path = weights[network]
      const set = config.networks[network]?.weights ?? null
      return path === null ? null : [await sha256Of(path), ...(set === null ? [] : [set])].join(' ')
    }),
  )
  const data = createHash('sha256').update(
    JSON.stringify([
      caseLines(cases),
      content,
      ...(reviews === null ? [] : [reviews]),
      ...(calibration === null ? [] : [`calibration ${calibration}`]),
    ]),
  )
  return { config: decidingHash(config), data: data.digest('hex') }
}

/**
 * Check that the data, and the reviews of them, are those of the checkpoint.
 * @returns a note if changes are accepted
 * @throws DataError that names the changed cases
 */
export async function compareData(
  run: string,
  checkpoint: Checkpoint,
  fingerprint: InputHashes,
  cases: readonly TrainingCase[],
  reviews: ReviewSummary | null,
  acceptChanges: boolean,
): Promise<Note | null> {
  if (checkpoint.manifest.madeBy.data === fingerprint.data) return null
  const what = (await changedReviews(run, reviews)) ?? (await changedCases(run, cases))
  if (acceptChanges) return { level: 'warning', text: `${run}: resuming with other data (${what})` }
  throw new DataError(`${run}: cannot resume, because its data have changed (${what})`, {
    hint: 'restore the old data, or pass --accept-changes to resume with the new data',
    facts: { run },
  })
}

/** Return whether a record, which may lack keys of this version, is the configuration of a checkpoint. */
async function isRecordOf(record: string, { config }: Pick<InputHashes, 'config'>): Promise<boolean> {
  const written = asRecord(parseYaml(await readForeignText(record), record))
  return written !== undefined && decidingHash(written) === config
}

async function compareConfig(
  run: string,
  checkpoint: Checkpoint,
  config: RunConfig,
  acceptChanges: boolean,
): Promise<Note[]> {
  const { madeBy } = checkpoint.manifest
  const record = join(run, 'config.resolved.yaml')
  const { deciding, rounding, free } = configChanges(await loadConfig(record), config)
  const notes: Note[] = []
  if (
    madeBy.config !== decidingHash(config) &&
    !(deciding.length === 0 && (await isRecordOf(record, madeBy)))
  ) {
    // no key differs: an earlier part accepted changes that were made after this older checkpoint
    const keys = deciding.length > 0 ? describe(deciding) : 'changes that a later part of the run accepted'
    if (!acceptChanges)
      throw new ConfigError(`${run}: the configuration differs from that of its checkpoint (${keys})`, {
        hint: 'undo the changes, or pass --accept-changes to resume with the new configuration',
        facts: { run, keys: deciding.map(({ key }) => key) },
      })
    notes.push({ level: 'warning', text: `resuming with another configuration: ${keys}` })
  }
  const exact = rounding.filter(({ key }) => config.runtime.reproducible && isOfRanks(key))
  const inexact = rounding.filter((change) => !exact.includes(change))
  if (inexact.length > 0)
    notes.push({
      level: 'warning',
      text: `${describe(inexact)}: the run continues with the same items, but losses may differ in their last bits`,
    })
  if (exact.length > 0)
    notes.push({
      level: 'info',
      text: `${describe(exact)}: the run is reproducible, so all losses stay bit-identical`,
    })
  if (free.length > 0)
    notes.push({ level: 'info', text: `changed for the rest of the run: ${describe(free)}` })
  return notes
}

/** Return whether the run ever saved a checkpoint, even a damaged one: then the user decides to restart from step 0. */
async function everSaved(run: string): Promise<boolean> {
  const names = await readdir(join(run, 'checkpoints')).catch(() => [] as string[])
  return names.some((name) => name.startsWith('step_'))
}

function nothingWhole(run: string, notes: readonly Note[]): CheckpointError {
  const reasons =
    notes.length > 0
      ? notes.map(({ text }) => text).join('; ')
      : 'all checkpoints were renamed as damaged before'
  return new CheckpointError(`${run}: holds no complete checkpoint to resume from: ${reasons}`, {
    hint: 'start a new run; an intact model.pt can serve as networks.segmentor.initialWeights',
  })
}

function describe(changes: readonly Change[]): string {
  const shown = changes
    .slice(0, 8)
    .map(({ key, before, after }) => `${key} (${short(before)} -> ${short(after)})`)
  const more = changes.length > shown.length ? ` and ${changes.length - shown.length} more` : ''
  return shown.join(', ') + more
}

function short(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value)
  return text.length > 40 ? `${text.slice(0, 37)}...` : text
}

type CaseLine = readonly [id: string, part: string, repeat: number, content: string]

/** Return a line per case, in the order of the items, which decides the sampling too. */
function caseLines(cases: readonly TrainingCase[]): CaseLine[] {
  return cases.map(({ id, kind, heldOut, repeat, content }) => [
    id,
    heldOut ? 'heldOut' : kind,
    repeat,
    content,
  ])
}

/** Return how the review file differs from the recorded one; null if it does not. */
async function changedReviews(run: string, now: ReviewSummary | null): Promise<string | null> {
  const before = await readReviewSummary(run)
  if (before?.sha256 === now?.sha256) return null
  const hash = (of: ReviewSummary | null): string => (of === null ? 'no review file' : of.sha256.slice(0, 12))
  const file = now?.file ?? before!.file
  return `the review file ${file} has changed: expected ${hash(before)}, found ${hash(now)}`
}

/** Return a sentence about the first few cases that differ from the recorded ones. */
async function changedCases(run: string, cases: readonly TrainingCase[]): Promise<string> {
  const recorded = await readCaseLines(run)
  if (recorded === null) return `${join(run, 'data.json')} is missing or damaged`
  const before = new Map(recorded.map((line) => [line[0], JSON.stringify(line)]))
  const after = new Map(caseLines(cases).map((line) => [line[0], JSON.stringify(line)]))
  const parts = [
    some(
      'gone',
      [...before.keys()].filter((id) => !after.has(id)),
    ),
    some(
      'new',
      [...after.keys()].filter((id) => !before.has(id)),
    ),
    some(
      'changed',
      [...after.keys()].filter((id) => before.has(id) && before.get(id) !== after.get(id)),
    ),
  ].filter((part) => part !== null)
  return (
    parts.join('; ') ||
    'the order of the cases, the calibration, or the weights or plug-ins that the run builds on'
  )
}

function some(word: string, ids: readonly string[]): string | null {
  if (ids.length === 0) return null
  const shown = ids.slice(0, 3).join(', ')
  return `${ids.length} ${ids.length === 1 ? 'case is' : 'cases are'} ${word}: ${shown}${ids.length > 3 ? ' ...' : ''}`
}

async function readCaseLines(run: string): Promise<readonly CaseLine[] | null> {
  try {
    const lines: unknown = await readForeignJson(join(run, 'data.json'))
    if (!Array.isArray(lines) || lines.some((line) => !Array.isArray(line))) return null
    return lines as readonly CaseLine[]
  } catch {
    return null
  }
}

/** Return the SHA-256 of the files of weights. */
export async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256')
  for (const file of await filesOfWeights(path))
    for await (const chunk of createReadStream(file, { highWaterMark: 4 << 20 })) hash.update(chunk)
  return hash.digest('hex')
}
