import { isDeepStrictEqual } from 'node:util'
import type { Preparation } from '../../config/preparation.js'
import { CheckpointError, UsageError } from '../../errors.js'
import { asRecord } from '../../foreign-text.js'
import type { Vec3 } from '../../volume/volume.js'
import { segmentorOf } from '../checkpoint/coverage.js'
import { differences, isWhole, kindsOf, readingOf } from '../checkpoint/differences.js'
import { identityOf } from '../checkpoint/plugin.js'
import type { StageContext } from '../context.js'
import type { CheckpointFacts, NetworkFacts } from '../ports/checkpoint.js'
import type { PluginIdentity, PluginSpec } from '../ports/plugin.js'
import type { PredictInputs, RunWindows } from './settings.js'

/** The segmentors of a prediction, and the preparation that they need. */
export interface PredictWeights extends Preparation {
  readonly members: readonly {
    readonly checkpoint: string
    readonly patchMerging: string | null
    readonly sha256: string
  }[]
  /** The plug-in that segments instead of members; null without one. */
  readonly plugin: PluginIdentity | null
  /** True for the model folder of an nnU-Net, which segments on its own grid. */
  readonly nnunet: boolean
  /** Architecture of the first member. */
  readonly kind: NetworkFacts['architecture']
  readonly outputs: number
  readonly tumorOutputs: readonly number[]
  /** Names of the outputs; null if no file states them. */
  readonly labelNames: readonly string[] | null
  /** Sliding windows of the run that trained the weights; null if no file states them, or members differ. */
  readonly windows: RunWindows | null
}

interface Member {
  readonly facts: CheckpointFacts
  readonly network: NetworkFacts & { readonly outputs: number }
}

const PREPARATION = { windowHu: 2, spacingMm: 3, patchVoxels: 3 } as const
const AXES = [0, 1, 2] as const
/** A SwinUNETR halves its sides five times. */
const SWIN_SIDES = 32

/**
 * Inspect the checkpoints before anything else starts. The metadata of a file take precedence; `stated` fills the gaps.
 * @throws CheckpointError for a file without a complete segmentor, or members that differ; UsageError for a setting that
 *   neither the files nor `stated` contain
 */
export async function predictWeights(
  checkpoints: readonly string[],
  { patchMerging: merging, weights }: Pick<PredictInputs, 'patchMerging' | 'weights'>,
  stated: Partial<Preparation>,
  context: StageContext,
): Promise<PredictWeights> {
  const call = { signal: context.signal, weights }
  const facts = await Promise.all(checkpoints.map((path) => context.runtime.inspect(path, call)))
  for (const file of facts) {
    const reading = readingOf(file)
    if (reading !== null) context.note(`${file.path}: ${reading}`)
  }
  refuseMixedNnUNet(facts)
  const members: Member[] = facts.map(wholeSegmentor)
  const first = members[0]
  if (first === undefined) throw new UsageError('no checkpoint is given', { hint: 'name at least one' })
  const { outputs, tumorOutputs } = first.network
  const other = members.find(({ network }) => network.outputs !== outputs)
  if (other)
    throw new CheckpointError(
      `${other.facts.path}: cannot join the ensemble of ${first.facts.path} (expected ${outputs} outputs, found ${other.network.outputs})`,
      { hint: 'name members with the same outputs' },
    )
  const labelNames = agreed(members, 'labelNames', isNames)
  const orders = mergingOrders(members, merging)
  const preparation = preparationOf(members, stated, context)
  refuseOddSides(members, preparation.patchVoxels)
  return {
    members: members.map(({ facts: { path, sha256 } }, at) => ({
      checkpoint: path,
      patchMerging: orders[at] ?? null,
      sha256,
    })),
    plugin: null,
    nnunet: first.facts.format === 'nnunet',
    kind: first.network.architecture,
    outputs,
    tumorOutputs: tumorOutputs ?? [],
    labelNames,
    windows: windowsOfRun(members, context),
    ...preparation,
  }
}

/** Windows of a plug-in: each is a request, so they overlap by half. */
const PLUGIN_WINDOWS: RunWindows = { overlap: 0.5, blend: 'gaussian' }

/**
 * Start a plug-in once, and return it as the segmentor of a prediction. Its statements take precedence; `stated` fills the gaps.
 * @throws PluginError if it does not start; UsageError if it does not segment, or for a setting that is stated nowhere
 */
export async function pluginWeights(
  plugin: PluginSpec,
  stated: Partial<Preparation>,
  { runtime, signal, note }: StageContext,
): Promise<PredictWeights> {
  const facts = await runtime.inspectPlugin(plugin, { signal })
  const { segment } = facts
  const where = `plug-in ${facts.name} ${facts.version}`
  if (segment === null)
    throw new UsageError(`${where}: cannot segment (expected segment in its hello)`, {
      hint: 'name a plug-in that segments',
    })
  const windowHu = segment.windowHu ?? stated.windowHu
  const spacingMm = segment.spacingMm ?? stated.spacingMm
  if (windowHu === undefined || spacingMm === undefined)
    throw new UsageError(
      `${where}: does not state its ${windowHu === undefined ? 'windowHu' : 'spacingMm'}`,
      { hint: 'pass --region' },
    )
  note(`${where} (licence: ${facts.licence})`)
  return {
    members: [],
    plugin: identityOf(facts),
    nnunet: false,
    kind: null,
    outputs: segment.names.length,
    tumorOutputs: facts.tumorOutputs,
    labelNames: segment.names,
    windows: PLUGIN_WINDOWS,
    windowHu,
    spacingMm,
    patchVoxels: segment.patchVoxels,
  }
}

/** Refuse an nnU-Net next to other members: they differ in grid and normalization. Its own folds are an ensemble. */
function refuseMixedNnUNet(facts: readonly CheckpointFacts[]): void {
  const nnunet = facts.find(({ format }) => format === 'nnunet')
  if (nnunet === undefined || facts.length === 1) return
  throw new CheckpointError(`${nnunet.path}: an nnU-Net model cannot join an ensemble`, {
    hint: 'name it alone; its folds are averaged',
  })
}

function wholeSegmentor(facts: CheckpointFacts): Member {
  const network = segmentorOf(facts)
  const expected = 'expected a SwinUNETR with use_v2, a model.pt of freetumor or an nnU-Net model'
  if (network?.outputs == null) {
    const found = network ? 'a segmentor without its head' : kindsOf(facts.networks)
    throw new CheckpointError(`${facts.path}: holds no whole segmentor (${expected}, found ${found})`, {
      hint: '`freetumor checkpoint inspect` lists what the file holds',
    })
  }
  const broken = facts.networks.find((one) => one.architecture === network.architecture && !isWhole(one))
  if (broken)
    throw new CheckpointError(`${facts.path}: ${differences(broken).join('; ')}`, {
      hint: 'predict needs a whole segmentor; networks.segmentor.initialWeights can start a training from the file',
    })
  if (network.tumorOutputs === null)
    throw new CheckpointError(
      `${facts.path}: the tumors among its outputs are not known (expected 7, 3 or 2 outputs, found ${network.outputs})`,
      { hint: 'networks.segmentor.initialWeights can start a training from the file' },
    )
  return { facts, network: { ...network, outputs: network.outputs } }
}

/** Return the patch-merging order to load each file with; null for the order that the file states. */
function mergingOrders(members: readonly Member[], stated: string | undefined): readonly (string | null)[] {
  const open = members.filter(({ facts: { patchMerging } }) => patchMerging.needed || patchMerging.assumed)
  const [needing] = members.filter(({ facts }) => facts.patchMerging.needed)
  if (needing && stated === undefined)
    throw new UsageError(`${needing.facts.path}: does not state the patch-merging order of its SwinUNETR`, {
      hint: 'pass --merging: legacy for weights of MONAI before 1.5, corrected for 1.5 and newer, v2 for `mergingv2`; `freetumor checkpoint inspect --probe IMAGE LABELS` determines it',
    })
  const contrary = members.find(
    ({ facts: { patchMerging } }) => patchMerging.order !== null && patchMerging.order !== stated,
  )
  if (stated !== undefined && open.length === 0 && contrary)
    throw new UsageError(
      `--merging ${stated}: ${contrary.facts.path} states the order ${contrary.facts.patchMerging.order}`,
      { hint: 'omit --merging for a file that states its order' },
    )
  return members.map((member) => (open.includes(member) ? (stated ?? null) : null))
}

function preparationOf(
  members: readonly Member[],
  given: Partial<Preparation>,
  context: StageContext,
): Preparation {
  const found: Record<string, readonly number[]> = {}
  const missing: string[] = []
  for (const [key, length] of Object.entries(PREPARATION) as [keyof Preparation, number][]) {
    const stated = agreed(members, key, (value): value is readonly number[] => isNumbers(value, length))
    const wanted = given[key]
    const value = stated ?? wanted
    if (value === undefined || value === null) missing.push(key)
    else found[key] = value
    if (stated !== null && wanted !== undefined && JSON.stringify(stated) !== JSON.stringify(wanted))
      context.note(
        `${key}: uses ${JSON.stringify(stated)} of the checkpoint instead of ${JSON.stringify(wanted)}`,
        'warning',
      )
  }
  if (missing.length > 0)
    throw new UsageError(`${members[0]!.facts.path}: does not state its ${missing.join(', ')}`, {
      hint: 'pass --region',
    })
  return found as unknown as Preparation
}

/** Return the value on which all members that state one agree; null if none states it. */
function agreed<T>(
  members: readonly Member[],
  key: string,
  isKind: (value: unknown) => value is T,
): T | null {
  let first: { readonly path: string; readonly value: T } | null = null
  for (const { facts } of members) {
    const value = facts.metadata?.[key]
    if (value === undefined || value === null) continue
    if (!isKind(value))
      throw new CheckpointError(
        `${facts.path}: metadata ${key} is malformed (found ${JSON.stringify(value)})`,
        {
          hint: 'use another file: this one is damaged, or from another version',
        },
      )
    if (first !== null && JSON.stringify(first.value) !== JSON.stringify(value))
      throw new CheckpointError(
        `${facts.path}: cannot join the ensemble of ${first.path}: they differ in ${key}`,
        { hint: 'name members trained on one grid, for the same labels' },
      )
    first = { path: facts.path, value }
  }
  return first?.value ?? null
}

function refuseOddSides(members: readonly Member[], patchVoxels: Vec3): void {
  const swin = members.find(({ network }) => network.architecture === 'swinunetr')
  if (swin && patchVoxels.some((side) => side % SWIN_SIDES !== 0))
    throw new UsageError(
      `${swin.facts.path}: wrong patch for a SwinUNETR (expected sides divisible by ${SWIN_SIDES}, found ${patchVoxels.join(' x ')})`,
      { hint: 'set sampling.patchVoxels in the file of --config' },
    )
}

/** Return the overlap and blending of the run, if all members state the same. */
function windowsOfRun(members: readonly Member[], context: StageContext): RunWindows | null {
  const stated = members.map(({ facts }) => windowsIn(facts.metadata?.windows)).filter((one) => one !== null)
  const [first] = stated
  if (first === undefined) return null
  if (stated.length === members.length && stated.every((one) => isDeepStrictEqual(one, first))) return first
  context.note('the members state different sliding windows: the published ones are used')
  return null
}

function windowsIn(value: unknown): RunWindows | null {
  const { overlap, blend, mirrorAxes } = asRecord(value) ?? {}
  if (typeof overlap !== 'number' || overlap < 0 || overlap >= 1) return null
  if (blend !== 'constant' && blend !== 'gaussian') return null
  if (!Array.isArray(mirrorAxes)) return { overlap, blend }
  return { overlap, blend, mirrorAxes: AXES.filter((axis) => mirrorAxes.includes(axis)) }
}

function isNumbers(value: unknown, length: number): value is readonly number[] {
  return Array.isArray(value) && value.length === length && value.every((one) => Number.isFinite(one))
}

function isNames(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string')
}
