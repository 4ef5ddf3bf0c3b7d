import { existsSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { CheckpointError, UsageError } from '../../errors.js'
import { asRecord, readForeignJson } from '../../foreign-text.js'
import { cannotBeRead } from '../../system-errors.js'
import { writeWhole } from '../../whole-file.js'
import type { CheckpointFacts, WeightsLicence } from '../ports/checkpoint.js'
import type { PluginIdentity } from '../ports/plugin.js'

type LicensedFacts = Pick<CheckpointFacts, 'path' | 'format' | 'sha256' | 'metadata'>

const MOST_LETTERS = 200
/** Name and version of a plug-in have at most 100 letters each. */
const MOST_FILE_LETTERS = 255
const BOUNDS = { bytes: 1e6, values: 10_000 }

/**
 * Return the licences of weights: the recorded one, or those of the weights that a training of freetumor started from or
 * built on. Weights of another project without a recorded licence have `licence` null.
 */
export async function licencesOf(
  network: WeightsLicence['network'],
  facts: LicensedFacts,
): Promise<readonly WeightsLicence[]> {
  const { path, sha256 } = facts
  const recorded = await recordedLicence(path, sha256)
  const own = { network, file: basename(path), sha256, licence: recorded }
  if (recorded !== null) return [own]
  return isOwn(facts) ? listed(facts.metadata?.licences) : [own]
}

/** Return the licence of a plug-in, as its hello states it. */
export function licenceOfPlugin(
  network: WeightsLicence['network'],
  { name, version, licence, sha256 }: PluginIdentity,
): WeightsLicence {
  return { network, file: `plug-in ${name} ${version}`, sha256, licence }
}

/** Return the licences in the run of a checkpoint, as its `plan.json` states them; none if it cannot be read. */
export async function licencesOfRun(checkpoint: string): Promise<readonly WeightsLicence[]> {
  const plan = join(dirname(dirname(dirname(checkpoint))), 'plan.json')
  const unreadable = (code: string): CheckpointError =>
    new CheckpointError(cannotBeRead(plan, code), { hint: '' })
  const content = await readForeignJson(plan, { unreadable, bytes: 100e6, values: 5_000_000 }).catch(
    () => null,
  )
  return listed(asRecord(content)?.licences)
}

/**
 * Record the licence of weights in `FILE.licence.json`, for all later trainings, syntheses and exports.
 * @throws UsageError for an empty or long text
 */
export async function recordLicence(
  { path, sha256 }: LicensedFacts,
  licence: string,
): Promise<{ readonly file: string }> {
  const text = licence.trim()
  if (text === '' || text.length > MOST_LETTERS || /\p{Cc}/u.test(text))
    throw new UsageError(
      `licence: wrong text (expected 1 to ${MOST_LETTERS} letters in one line, found ${text.length})`,
      { hint: 'write a short name, such as CC-BY-NC-4.0' },
    )
  const file = licenceFile(path)
  await writeWhole(file, `${JSON.stringify({ licence: text, sha256 }, null, 2)}\n`)
  return { file }
}

/**
 * Return one warning for each foreign file without a recorded licence.
 * @param paths of the files that are used here, for a command that works from this folder
 */
export function unknownLicences(
  licences: readonly WeightsLicence[],
  paths: readonly string[],
): readonly string[] {
  const unknown = licences.filter(({ licence }) => licence === null)
  return unknown.map(
    ({ network, file }) =>
      `networks.${network}: the licence of ${file} is not stated; record it: ${recordCommand(file, paths)}`,
  )
}

/** Return the command that records the licence of a file. */
export function recordCommand(file: string, paths: readonly string[]): string {
  const path = paths.find((one) => basename(one) === file) ?? file
  return `freetumor checkpoint licence ${path} NAME`
}

/** @throws CheckpointError if the record is damaged, or belongs to other weights */
async function recordedLicence(path: string, sha256: string): Promise<string | null> {
  const file = licenceFile(path)
  if (!existsSync(file)) return null
  const unreadable = (code: string): CheckpointError =>
    new CheckpointError(cannotBeRead(file, code), {
      hint: `write it again: freetumor checkpoint licence ${path} NAME`,
    })
  const content = asRecord(await readForeignJson(file, { unreadable, ...BOUNDS }))
  return content?.sha256 === sha256 && isText(content.licence) ? content.licence : null
}

function licenceFile(path: string): string {
  return `${resolve(path)}.licence.json`
}

/** Return whether freetumor wrote the weights. */
function isOwn({ format, metadata }: LicensedFacts): boolean {
  return metadata !== null && (format !== 'nnunet' || metadata.writer === 'freetumor')
}

/** Return the entries of the form of a licence in foreign values. */
function listed(value: unknown): WeightsLicence[] {
  if (!Array.isArray(value)) return []
  return value.slice(0, 100).flatMap((entry: unknown) => {
    const { network, file, sha256, licence } = asRecord(entry) ?? {}
    if (network !== 'segmentor' && network !== 'baseline' && network !== 'generator') return []
    if (!isText(file, MOST_FILE_LETTERS) || !(sha256 === null || isHash(sha256))) return []
    return [{ network, file, sha256, licence: isText(licence) ? licence : null }]
  })
}

function isHash(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)
}

function isText(value: unknown, most = MOST_LETTERS): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= most && !/\p{Cc}/u.test(value)
}
