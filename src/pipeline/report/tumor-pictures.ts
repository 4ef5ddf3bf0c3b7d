import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { DataError } from '../../errors.js'
import { asRecord, parseForeignJson, readForeignText } from '../../foreign-text.js'
import { readJsonLog } from '../../jsonl.js'
import type { LedgerLine, SynthesisLine } from '../../quality/ledger.js'
import { type QualityPolicy, settingsFor, subtractsAlreadySeen } from '../../quality/policy.js'
import { attemptOf, parseTumorPicture, type RealTumor, type TumorPicture } from '../../report/pictures.js'
import type { Example, TumorPictures } from '../../report/tumor-section.js'
import { percent, short } from '../../report/wording.js'
import { orMissing } from './missing.js'

type Line = LedgerLine | SynthesisLine

/** Largest number of picture files that a page reads. */
const MAX_FILES = 1000

const VERDICTS: Readonly<Record<Line['verdict'], string | null>> = {
  accepted: 'accepted',
  rejected: 'rejected',
  recorded: null,
  noRoom: null,
}

/**
 * Read the pictures of a folder, with the verdicts and the deciding measures of their ledger. A damaged file becomes a
 * sentence of `problems`.
 * @param policy null if unknown: thresholds and ranges are not named
 */
export async function readTumorPictures(
  folder: string,
  ledger: string,
  policy: QualityPolicy | null,
  hint: string,
  problems: string[],
): Promise<TumorPictures> {
  const pictures = await readFiles(join(folder, 'pictures'), problems)
  const synthetic = pictures.filter((one): one is TumorPicture => one.kind === 'synthetic')
  const lines = await linesOf(synthetic, ledger)
  return {
    examples: synthetic.map((picture) => withDecision(picture, lines.get(picture.attempt), policy)),
    real: pictures.filter((one): one is RealTumor => one.kind === 'real'),
    hint,
  }
}

/**
 * Return a picture with the verdict and the deciding measure of its ledger line.
 * @param line undefined if the ledger has none
 */
export function withDecision(
  picture: TumorPicture,
  line: Pick<Line, 'verdict' | 'reason' | 'measures' | 'organ' | 'size'> | undefined,
  policy: QualityPolicy | null,
): Example {
  const verdict = line === undefined ? null : VERDICTS[line.verdict]
  return {
    ...picture,
    verdict: picture.verdict ?? verdict,
    decided: line === undefined || verdict === null ? null : decidedBy(line, policy),
  }
}

/** Return the measure that decided on a tumor, with the threshold or range that it was compared with. */
export function decidedBy(
  { reason, measures = {}, organ, size }: Pick<Line, 'reason' | 'measures' | 'organ' | 'size'>,
  policy: QualityPolicy | null,
): string {
  const values = measures as Readonly<Record<string, number | undefined>>
  if (reason === 'notKept') return 'dropped by `quality.keepProbability`'
  if (reason === 'empty') return 'no voxel lies in the organ'
  if (reason === 'notJudged') return 'no baseline'
  const kind = organ === undefined || size === undefined ? null : { organ, size }
  const settings = policy === null || kind === null ? null : settingsFor(policy, kind)
  if (reason === 'seen' || reason === 'notSeen') {
    const { shareSeen = 0, alreadySeenVoxels = 0, syntheticVoxels = 0 } = values
    const already =
      policy && subtractsAlreadySeen(policy) && syntheticVoxels > 0 ? alreadySeenVoxels / syntheticVoxels : 0
    const told = `detected fraction ${(100 * (shareSeen - already)).toFixed(1)} %${already > 0 ? ' more than before painting' : ''}`
    if (policy?.policy === 'calibrated') return `${told}, compared with real tumors`
    const over = policy?.shareOver === 'case' ? ' over all tumors of the case' : ''
    return settings === null ? told : `${told}, threshold ${percent(settings.shareSeenThreshold)}${over}`
  }
  const value = values[reason]
  const told = `${reason} ${value === undefined ? 'not measured' : short(value)}`
  const range = settings?.rules[reason as keyof typeof settings.rules]
  if (range === undefined) return told
  const ends = [
    ...(range.min === undefined ? [] : [`at least ${range.min}`]),
    ...(range.max === undefined ? [] : [`at most ${range.max}`]),
  ]
  return `${told}, expected ${ends.join(' and ')}`
}

async function readFiles(folder: string, problems: string[]): Promise<(TumorPicture | RealTumor)[]> {
  const names = ((await orMissing(readdir(folder))) ?? []).filter((one) => one.endsWith('.json')).sort()
  if (names.length > MAX_FILES)
    problems.push(`Only the first ${MAX_FILES} of ${names.length} pictures are read.`)
  const pictures: (TumorPicture | RealTumor)[] = []
  for (const name of names.slice(0, MAX_FILES)) {
    try {
      const shown = `pictures/${name}`
      pictures.push(
        parseTumorPicture(shown, parseForeignJson(await readForeignText(join(folder, name)), shown)),
      )
    } catch (error) {
      if (!(error instanceof DataError)) throw error
      problems.push(`${error.message}.`)
    }
  }
  return pictures
}

/** Return the ledger lines of the tumors in the pictures, by attempt. */
async function linesOf(pictures: readonly TumorPicture[], ledger: string): Promise<Map<string, Line>> {
  const found = new Map<string, Line>()
  if (pictures.length === 0) return found
  const wanted = new Set(pictures.map(({ attempt }) => attempt))
  const search = async (): Promise<void> => {
    for await (const line of readJsonLog<Line>(ledger)) {
      const attempt = attemptOf(line)
      if (wanted.has(attempt)) found.set(attempt, line)
    }
  }
  await orMissing(search())
  return found
}

/** Return the quality policy in a value; null if it has none of this form. */
export function policyIn(value: unknown): QualityPolicy | null {
  const quality = asRecord(asRecord(value)?.quality)
  const usable =
    typeof quality?.shareSeenThreshold === 'number' &&
    asRecord(quality.rules) !== undefined &&
    Array.isArray(quality.overrides) &&
    quality.overrides.every((one) => asRecord(one) !== undefined)
  return usable ? (quality as unknown as QualityPolicy) : null
}
