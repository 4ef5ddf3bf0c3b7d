import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { leftOutLines } from '../../curation/datasets/file-names.js'
import { regionBeside } from '../../curation/datasets/ignored-ids.js'
import { casesOfShard } from '../../curation/datasets/shard.js'
import { FreetumorError, StoppedError, UsageError } from '../../errors.js'
import { openJsonLog, readJsonLog } from '../../jsonl.js'
import { counted } from '../../plain-text.js'
import { isAbort } from '../../stop-signals.js'
import type { Region } from '../../volume/labels.js'
import {
  makeFolder,
  refuseUnwritableFolder,
  sweepUnfinished,
  temporaryName,
  writeWhole,
} from '../../whole-file.js'
import type { StageContext } from '../context.js'
import { WRITING } from '../locks.js'
import type { CaseError } from '../ports/common.js'
import type { ToolRunner } from '../ports/tool.js'
import { type ScanCase, scansOf } from '../predict/cases.js'
import { inputOf, wholeCases } from '../predict/record.js'
import { byCase, startLog, type WholeShards, workOnShard } from '../shards.js'
import { finishCase } from './case.js'
import { checkpointLabeller } from './checkpoint.js'
import { commandLabeller, knownLabeller } from './external.js'
import { caseErrorOf, type OrganLabeller, type RawLabel } from './labeller.js'
import {
  LINES,
  type OrganFacts,
  type OrganLine,
  type OrganResults,
  removeLabels,
  startRecord,
  writeRecord,
} from './record.js'
import {
  idsOfMap,
  type LabelOrgansOptions,
  type OrganCase,
  refuseContradictions,
  regionOfOrgans,
} from './settings.js'

/** Result of `labelOrgans`. */
export interface OrganLabels {
  readonly directory: string
  readonly tool: string
  /** Version of the tool, SHA-256 of weights; null if unknown. */
  readonly version: string | null
  readonly region: Region
  readonly cases: readonly OrganCase[]
  readonly failed: OrganResults['failed']
  /** Files that look like scans and were not taken. */
  readonly leftOut: OrganResults['leftOut']
}

/**
 * Write one label map of organs per scan, under the name of the scan without `_0000`; resume an interrupted call of the same
 * settings. `organs.json` records the tool, its version and each case.
 * @throws UsageError, EnvironmentError, CheckpointError, DataError before the first case; a case that fails is in the result
 */
export async function labelOrgansAt(
  options: LabelOrgansOptions,
  context: StageContext,
  tools: ToolRunner,
): Promise<OrganLabels> {
  refuseContradictions(options)
  const region = regionOfOrgans(options)
  const out = resolve(options.out)
  refuseInputFolder(out, options)
  await refuseUnwritableFolder(out)
  const { shard, labels, labelsMap } = options
  if (labels !== undefined && labelsMap === undefined) await refuseOtherRegion(labels, region)
  const labelsIds = labelsMap === undefined ? null : idsOfMap(labelsMap, region).map
  const found = await scansOf(options.images, options.split, { ...options, labels, region })
  for (const text of found.notes) context.note(text)
  for (const text of leftOutLines(found.leftOut)) context.note(text, 'warning')
  noteUnlabelled(options, found.scans, context)
  const labeller = await labellerOf(options, region, tools, context)
  const facts: OrganFacts = {
    tool: labeller.name,
    version: labeller.version,
    region,
    settings: { ...labeller.settings, map: labeller.ids.map, labelsMap: labelsIds },
  }
  const mine = shard === undefined ? found.scans : casesOfShard(found.scans, shard)
  await makeFolder(out)
  const work = { options, out, facts, labeller, labelsMap: labelsIds, region, scans: mine }
  const resultOf = (results: OrganResults, reused: ReadonlySet<string>): OrganLabels => ({
    directory: out,
    ...{ tool: facts.tool, version: facts.version, region },
    cases: results.lines.map((line) => caseOf(out, line, reused.has(line.case))),
    failed: results.failed,
    leftOut: results.leftOut,
  })
  const { leftOut } = found
  if (shard === undefined) {
    await using _lock = await context.runtime.lock(out, WRITING)
    if (options.overwrite) await removeLabels(out, found.scans)
    await sweepUnfinished(out)
    await startRecord(out, facts, found.scans)
    const { lines, failed, reused } = await labelCases({ ...work, folder: out }, context)
    await writeRecord(out, facts, { lines, failed, leftOut })
    return resultOf({ lines, failed, leftOut }, reused)
  }
  const ids = found.scans.map(({ id }) => id)
  const cases = mine.map(({ id }) => id)
  const sharded = { command: 'organs', directory: out, shard, settings: facts, ids, cases } as const
  return await workOnShard(sharded, context, async (folder) => {
    await startRecord(out, facts, mine)
    await startLog<OrganLine>(join(folder, LINES), join(out, LINES), cases)
    const { lines, failed, reused } = await labelCases({ ...work, folder }, context)
    const part: OrganPart = { lines, failed, leftOut }
    return { part, result: resultOf(part, reused) }
  })
}

/** Results of a shard for the merge. */
type OrganPart = OrganResults

/** Write the records of all shards, with the lines of other scans that they have already. */
export async function mergeOrganLabels(
  out: string,
  shards: WholeShards<OrganFacts, OrganPart>,
): Promise<OrganLabels> {
  await sweepUnfinished(out)
  const parts = shards.records.map(({ part }) => part)
  const lines = byCase(
    shards,
    parts.flatMap((part) => part.lines),
    (line) => line.case,
  )
  const failed = byCase(
    shards,
    parts.flatMap((part) => part.failed),
    ({ caseId }) => caseId,
  )
  const path = join(out, LINES)
  const others: OrganLine[] = []
  if (existsSync(path))
    for await (const line of readJsonLog<OrganLine>(path))
      if (!shards.position.has(line.case)) others.push(line)
  await writeWhole(path, [...others, ...lines].map((line) => `${JSON.stringify(line)}\n`).join(''))
  const facts = shards.plan.settings
  const { leftOut } = parts[0]!
  await writeRecord(out, facts, { lines, failed, leftOut })
  return {
    directory: out,
    ...{ tool: facts.tool, version: facts.version, region: facts.region as Region },
    cases: lines.map((line) => caseOf(out, line, false)),
    failed,
    leftOut,
  }
}

/** @throws UsageError if label maps would be written over scans or given labels */
function refuseInputFolder(out: string, { images, labels }: LabelOrgansOptions): void {
  for (const [flag, folder] of [
    ['--images', images],
    ['--labels', labels],
  ] as const)
    if (folder !== undefined && resolve(folder) === out)
      throw new UsageError(`--out: same folder as ${flag} (found ${out})`, { hint: 'name another folder' })
}

/** @throws UsageError if the names next to the given labels are those of another region: their ids would be other organs */
async function refuseOtherRegion(labels: string, region: Region): Promise<void> {
  const named = await regionBeside(labels)
  if (named === null || named === region) return
  throw new UsageError(`--labels: label maps of the ${named} (expected ${region}, found ${labels})`, {
    hint: `pass --region ${named}, or omit --labels`,
  })
}

function noteUnlabelled({ labels }: LabelOrgansOptions, scans: readonly ScanCase[], context: StageContext) {
  const without = scans.filter(({ label }) => label === null)
  if (labels === undefined || without.length === 0) return
  context.note(
    `${without.length} of ${counted(scans.length, 'scan')} without label in ${labels}, first ${without[0]!.id}`,
    'warning',
  )
}

async function labellerOf(
  options: LabelOrgansOptions,
  region: Region,
  tools: ToolRunner,
  context: StageContext,
): Promise<OrganLabeller> {
  const source = options.with
  if (typeof source === 'string') return await knownLabeller(source, options, region, tools, context)
  if ('checkpoint' in source) return await checkpointLabeller(source.checkpoint, options, region, context)
  return commandLabeller(source.command, options, region, tools, context)
}

interface Labelling extends Pick<Parameters<typeof finishCase>[0], 'labelsMap' | 'region' | 'out'> {
  readonly options: LabelOrgansOptions
  readonly labeller: OrganLabeller
  readonly scans: readonly ScanCase[]
  /** Folder of `organs.jsonl`, and of temporary files. */
  readonly folder: string
}

/** Label the scans that the record lacks. */
async function labelCases(
  { options, labeller, scans, folder, labelsMap, region, out }: Labelling,
  context: StageContext,
): Promise<Pick<OrganResults, 'lines' | 'failed'> & { readonly reused: ReadonlySet<string> }> {
  const path = join(folder, LINES)
  const done = await wholeCases<OrganLine>(path, out, scans)
  const asked = new Set(scans.map(({ id }) => id))
  // keep lines of scans that are not requested now
  await using log = await openJsonLog<OrganLine>(path, {
    keep: (line) => !asked.has(line.case) || done.has(line.case),
  })
  const lines = new Map(done)
  const failed: { caseId: string; error: CaseError }[] = []
  const report = (caseId: string, one: OrganCase | null, error: CaseError | null): void =>
    options.onCase?.({
      done: lines.size + failed.length,
      total: scans.length,
      caseId,
      case: one,
      error,
    })
  if (done.size > 0) context.note(`${done.size} of ${counted(scans.length, 'label map')} already written`)
  const left = scans.filter(({ id }) => !done.has(id))
  const byId = new Map(scans.map((scan) => [scan.id, scan]))
  const inputs = new Map(await Promise.all(left.map(async (scan) => [scan.id, await inputOf(scan)] as const)))
  const work = temporaryName(join(folder, 'work'))
  await makeFolder(work)
  const finish = async (raw: RawLabel): Promise<OrganLine> => {
    const scan = byId.get(raw.caseId)!
    const finished = await finishCase({
      scan,
      raw,
      tool: labeller.name,
      ids: labeller.ids,
      ...{ labelsMap, region, out },
    })
    return { case: scan.id, image: scan.image, input: inputs.get(scan.id)!, ...finished }
  }
  try {
    if (left.length > 0)
      for await (const outcome of labeller.label(left, work, join(out, 'logs'))) {
        const { caseId } = outcome
        const result = 'error' in outcome ? outcome : await orError(finish(outcome))
        if ('folder' in outcome) await rm(outcome.folder, { recursive: true, force: true })
        if ('error' in result) {
          failed.push({ caseId, error: result.error })
          report(caseId, null, result.error)
          continue
        }
        log.write(result)
        // write the record before the report, so that every reported label map is kept
        await log.flush()
        lines.set(caseId, result)
        report(caseId, caseOf(out, result, false), null)
      }
  } catch (error) {
    if (isAbort(error) || context.signal?.aborted)
      throw new StoppedError('the labelling of organs was stopped', {
        hint: 'start it again: finished cases are kept',
        cause: error,
      })
    throw error
  } finally {
    await rm(work, { recursive: true, force: true })
  }
  const ordered = scans.flatMap(({ id }) => lines.get(id) ?? [])
  return { lines: ordered, failed, reused: new Set(done.keys()) }
}

/** Return the line of a case, or the error of its data. */
async function orError(finishing: Promise<OrganLine>): Promise<OrganLine | { readonly error: CaseError }> {
  try {
    return await finishing
  } catch (error) {
    if (!(error instanceof FreetumorError) || error.code === 'environment') throw error
    return { error: caseErrorOf(error) }
  }
}

function caseOf(out: string, line: OrganLine, reused: boolean): OrganCase {
  const { holes, sources, seconds, findings } = line
  return {
    caseId: line.case,
    output: join(out, Object.keys(line.files)[0]!),
    ...{ holes, sources, seconds, findings, reused },
  }
}
