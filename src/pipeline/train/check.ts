import { access } from 'node:fs/promises'
import { resolve } from 'node:path'
import { paintsTumors } from '../../config/jobs.js'
import type { RunConfig } from '../../config/schema.js'
import { shippedFile } from '../../config/shipped.js'
import { forEachCase } from '../../curation/case-threads.js'
import type { LabelIds } from '../../curation/check/label-ids.js'
import { type CuratedCase, curate, curationWarnings } from '../../curation/datasets/curate.js'
import { refuseForeignIds } from '../../curation/datasets/region-ids.js'
import { ConfigError, EnvironmentError, EXIT, FreetumorError } from '../../errors.js'
import { counted } from '../../plain-text.js'
import { cannotBeRead } from '../../system-errors.js'
import { checkpointFile } from '../checkpoint/checkpoint-file.js'
import { segmentorOf } from '../checkpoint/coverage.js'
import { kindsOf } from '../checkpoint/differences.js'
import type { StageContext } from '../context.js'
import { openReviews } from '../review-summary.js'
import { trainingLabels } from '../training-labels.js'
import { unaimedSizes } from '../tumor-sizes.js'
import { refuseOtherOrgans } from './inputs.js'
import { refuseUnusableWeights, wantedWeights } from './weights.js'

/** A fault of a configuration that its data or weights show. */
export interface ConfigFinding {
  readonly severity: 'error' | 'warning'
  readonly message: string
  readonly hint: string | null
  /** Exit code of a training that finds it; null for a warning. */
  readonly exitCode: number | null
}

export interface ConfigCheck {
  /** True if no finding is an error. */
  readonly ok: boolean
  /** State of the data: checked, missing, or skipped on request. */
  readonly data: 'checked' | 'missing' | 'skipped'
  readonly cases: { readonly labelled: number; readonly hosts: number; readonly heldOut: number } | null
  /** Number of label files that were read, and of all. */
  readonly labels: { readonly read: number; readonly of: number } | null
  readonly findings: readonly ConfigFinding[]
}

export interface ConfigCheckOptions {
  /** False to check the text of the configuration only. */
  readonly data: boolean
  /** Number of threads that read labels, each with one volume in memory. */
  readonly workers: number
  readonly onCase?: ((done: number, total: number, id: string) => void) | undefined
}

/** Number of labels read of each data set: enough to find a wrong map, fast for thousands of cases. */
const LABELS_PER_DATASET = 8

/**
 * Check a configuration against its data and weights as a training would, without writing anything: data sets, roles, folds,
 * the label ids of some cases of each data set, the outputs of the checkpoints that it names.
 */
export async function checkTraining(
  config: RunConfig,
  context: StageContext,
  options: ConfigCheckOptions,
): Promise<ConfigCheck> {
  const findings = new Findings()
  await findings.of(async () => refuseForeignIds(config.data, config.region))
  const unaimed = (await findings.of(async () => unaimedSizes(config.simulation, config.prepare))) ?? []
  const skipped: Omit<ConfigCheck, 'ok' | 'findings'> = { data: 'skipped', cases: null, labels: null }
  const isFaulty = findings.list.length > 0
  for (const text of unaimed) findings.warn(text, null)
  if (!options.data) return findings.concluded(skipped)
  const checked = isFaulty ? skipped : await checkData(config, context, options, findings)
  const { reviews } = config.quality
  await findings.of(async () => (reviews === null ? null : await openReviews(reviews)))
  const present = await withoutAbsent(config, checked.data === 'missing', findings)
  await findings.of(() => refuseUnusableWeights(wantedWeights(present), { ...context, note: findings.note }))
  await findings.of(() => checkInitialWeights(config, context, findings))
  return findings.concluded(checked)
}

/**
 * Return the configuration without earlier configurations (`trainFrom`) that do not exist. Each is an error, or a warning
 * while the data do not exist either, such as after `freetumor init`.
 */
async function withoutAbsent(config: RunConfig, isDraft: boolean, findings: Findings): Promise<RunConfig> {
  let { networks } = config
  for (const network of ['baseline', 'generator'] as const) {
    const part = networks[network]
    if (!part?.trainFrom || part.checkpoint !== null || (await exists(part.trainFrom))) continue
    findings.list.push({
      ...absentTraining(network, part.trainFrom),
      ...(isDraft ? { severity: 'warning', exitCode: null } : { severity: 'error', exitCode: EXIT.usage }),
    })
    networks = { ...networks, [network]: { ...part, trainFrom: null } }
  }
  return { ...config, networks }
}

function absentTraining(network: string, file: string): { message: string; hint: string } {
  return {
    message: `networks.${network}.trainFrom: ${cannotBeRead(file, 'ENOENT')}`,
    hint: 'write it with `freetumor init`, or name a checkpoint',
  }
}

/** Refuse an earlier configuration (`trainFrom`) that does not exist. @throws ConfigError */
export async function refuseAbsentTraining({ networks }: Pick<RunConfig, 'networks'>): Promise<void> {
  for (const network of ['baseline', 'generator'] as const) {
    const part = networks[network]
    if (!part?.trainFrom || part.checkpoint !== null) continue
    if (await exists(shippedFile(part.trainFrom) ?? part.trainFrom)) continue
    const { message, hint } = absentTraining(network, part.trainFrom)
    throw new ConfigError(message, { hint })
  }
}

/**
 * Check the weights that the segmentor starts from.
 * @throws ConfigError for a file that the run cannot start from
 */
async function checkInitialWeights(
  config: RunConfig,
  { runtime, signal }: StageContext,
  findings: Findings,
): Promise<void> {
  const { initialWeights, initialWeightsSet, kind, featureSize, patchMerging } = config.networks.segmentor
  if (initialWeights === null || config.job === 'synthesis') return
  const path = await checkpointFile(initialWeights)
  const where = `networks.segmentor.initialWeights: ${path}`
  if (!(await exists(path)))
    throw new ConfigError(cannotBeRead(where, 'ENOENT'), {
      hint: 'name a checkpoint file, or set it to null',
    })
  const facts = await runtime.inspect(path, { signal, weights: initialWeightsSet })
  if (facts.patchMerging.needed && patchMerging === null)
    throw new ConfigError(`${where}: does not state the patch-merging order of its SwinUNETR`, {
      hint: 'set networks.segmentor.patchMerging; `freetumor checkpoint inspect --probe IMAGE LABELS` determines it',
    })
  const found = segmentorOf(facts)
  if (found?.architecture !== kind) {
    const other = kindsOf(facts.networks)
    findings.warn(
      `${where}: has no weights of a ${kind} (found ${other})`,
      'correct networks.segmentor.kind or the file: the segmentor would start from random weights',
    )
    return
  }
  if (found.width !== featureSize)
    throw new ConfigError(`${where} has feature size ${found.width}, this configuration has ${featureSize}`, {
      hint: `set networks.segmentor.featureSize: ${found.width}`,
    })
  for (const cause of found.causes) findings.warn(`${where}: ${cause}`, 'the other tensors are used')
  const outputs = trainingLabels(config).names.length
  if (found.outputs !== null && found.outputs !== outputs)
    findings.warn(
      `${where}: its head starts from random weights (expected ${counted(outputs, 'output')}, found ${found.outputs})`,
      null,
    )
}

class Findings {
  readonly list: ConfigFinding[] = []

  readonly note = (message: string, level: 'info' | 'warning' = 'info'): void => {
    if (level === 'warning') this.warn(message, null)
  }

  warn(message: string, hint: string | null): void {
    this.list.push({ severity: 'warning', message, hint, exitCode: null })
  }

  /** Run a check whose typed errors become findings; an EnvironmentError only becomes a warning. */
  async of<T>(check: () => Promise<T>): Promise<T | undefined> {
    try {
      return await check()
    } catch (error) {
      if (!(error instanceof FreetumorError)) throw error
      const { message, commandHint: hint = null, exitCode } = error
      if (error instanceof EnvironmentError) this.warn(`not checked: ${message}`, hint)
      else this.list.push({ severity: 'error', message, hint, exitCode })
      return undefined
    }
  }

  concluded(rest: Omit<ConfigCheck, 'ok' | 'findings'>): ConfigCheck {
    return { ok: this.list.every(({ severity }) => severity !== 'error'), ...rest, findings: this.list }
  }
}

async function checkData(
  config: RunConfig,
  context: StageContext,
  options: ConfigCheckOptions,
  findings: Findings,
): Promise<Omit<ConfigCheck, 'ok' | 'findings'>> {
  const missing = { data: 'missing', cases: null, labels: null } as const
  const absent = await whyAbsent(config)
  if (absent !== null) {
    findings.warn(
      `${absent}; roles, folds and label ids were not checked`,
      'pass --no-data if this is intended',
    )
    return missing
  }
  const curation = await findings.of(() => curate(config.data, config.region))
  if (curation === undefined) return { ...missing, data: 'checked' }
  for (const text of curationWarnings(curation)) findings.warn(text, null)
  const { cases } = curation
  await findings.of(async () => refuseOtherOrgans(config, cases))
  const counts = countsOf(config, cases)
  if (counts.sampled === 0)
    findings.list.push({
      severity: 'error',
      message: `data.datasets: job ${config.job} has no training case`,
      hint: 'add a case: all are held out, have repeat 0, or are host CTs for a job without them',
      exitCode: EXIT.data,
    })
  if (counts.heldOut === 0 && config.job !== 'synthesis')
    findings.warn('data.datasets: no case is held out, so no checkpoint is chosen as the best', null)
  const labels = await checkLabels(cases, context, options, findings)
  const { labelled, hosts, heldOut } = counts
  return { data: 'checked', cases: { labelled, hosts, heldOut }, labels }
}

/** Return why there are no data to check yet; null if there are. */
async function whyAbsent({ data }: RunConfig): Promise<string | null> {
  const root = resolve(data.root)
  if (data.phantoms !== null && !(await exists(resolve(root, data.datasets[0]!.name))))
    return `the phantoms of data.phantoms are not written yet (in ${root})`
  if (data.manifest === null && !(await exists(root)))
    return `data.root: ${cannotBeRead(root, 'ENOENT', 'folder')}`
  return null
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

function countsOf({ job, training }: RunConfig, cases: readonly CuratedCase[]) {
  const withHosts = paintsTumors({ job, training })
  const trained = cases.filter(({ split }) => split === 'training')
  const of = (kind: 'labelled' | 'host') => trained.filter(({ role }) => role.kind === kind)
  return {
    labelled: of('labelled').length,
    hosts: of('host').length,
    heldOut: cases.filter(({ split }) => split === 'validation').length,
    sampled: trained.filter(({ repeat, role }) => repeat > 0 && (withHosts || role.kind === 'labelled'))
      .length,
  }
}

async function checkLabels(
  cases: readonly CuratedCase[],
  { signal }: StageContext,
  { workers, onCase }: ConfigCheckOptions,
  findings: Findings,
): Promise<{ readonly read: number; readonly of: number }> {
  const labelled = cases.filter(({ label }) => label !== null)
  const chosen = [...new Set(labelled.map(({ dataset }) => dataset))].flatMap((dataset) =>
    spread(labelled.filter((item) => item.dataset === dataset)),
  )
  const ids = await forEachCase(chosen, { name: 'labelIds', options: null }, { workers, signal, onCase })
  const read = chosen.map((item, at) => ({ item, ids: ids[at]! }))
  for (const dataset of new Set(chosen.map((item) => item.dataset)))
    judgeDataset(
      dataset,
      read.filter(({ item }) => item.dataset === dataset),
      findings,
    )
  return { read: chosen.length, of: labelled.length }
}

/** Return some items of a list, evenly spread. */
function spread<T>(items: readonly T[]): readonly T[] {
  if (items.length <= LABELS_PER_DATASET) return items
  const last = LABELS_PER_DATASET - 1
  return Array.from(
    { length: LABELS_PER_DATASET },
    (_, at) => items[Math.floor((at * (items.length - 1)) / last)]!,
  )
}

interface ReadCase {
  readonly item: CuratedCase
  readonly ids: LabelIds
}

function judgeDataset(dataset: string, read: readonly ReadCase[], findings: Findings): void {
  const where = `data.datasets: ${dataset}`
  const fail = (message: string, hint: string): void =>
    void findings.list.push({ severity: 'error', message: `${where}: ${message}`, hint, exitCode: EXIT.data })
  const unread = read.find(({ ids }) => ids.problem !== null)
  if (unread) fail(unread.ids.problem!, 'run `freetumor data check` to list every such file')
  const odd = read.filter(({ ids }) => ids.outside.length > 0)
  if (odd.length > 0) {
    const outside = [...new Set(odd.flatMap(({ ids }) => ids.outside))].sort((a, b) => a - b)
    const known = [...new Set(['0', ...Object.keys(odd[0]!.item.labelMap)])]
    fail(
      `label ids ${outside.slice(0, 10).join(', ')} are not in its label map (expected ${known.slice(0, 20).join(', ')}), first in ${odd[0]!.item.label}`,
      'add them to labelMap (to 0 if they are background), or correct the labels',
    )
  }
  const hosts = read.find(({ item, ids }) => item.role.kind === 'host' && ids.tumors.length > 0)
  if (hosts)
    findings.warn(
      `${where}: its role is host, but ${hosts.item.id} has a real tumor of the ${hosts.ids.tumors.join(', ')}`,
      'give it role: labelled, or remove the case',
    )
  const isLabelled = read.every(({ item }) => item.role.kind === 'labelled')
  if (isLabelled && read.every(({ ids }) => ids.problem === null && ids.tumors.length === 0))
    findings.warn(
      `${where}: its role is labelled, but none of ${counted(read.length, 'label')} that were read has a tumor`,
      'give it role: host, or correct its labelMap',
    )
}
