import { rm } from 'node:fs/promises'
import { onAbort } from '../../abort.js'
import { RuntimeCrashError, StoppedError, UsageError } from '../../errors.js'
import { judge, type Verdict } from '../../quality/judge.js'
import type { QualityPolicy } from '../../quality/policy.js'
import { texturesFor } from '../../sampling/subvolume.js'
import { asPlanned } from '../../sampling/tumors.js'
import { openStream } from '../../simulation/random.js'
import { type SizeClass, simulateTumor, type TumorPlan } from '../../simulation/tumor.js'
import { orientationOf, spacingOf } from '../../volume/geometry.js'
import { LABEL_SCHEMES, type Organ, type OrganName } from '../../volume/labels.js'
import type { LabelMap, Vec3, Volume } from '../../volume/volume.js'
import { makeTemporaryFolder } from '../../whole-file.js'
import { checkpointFile } from '../checkpoint/checkpoint-file.js'
import { covers, segmentorOf, tumorCoverage } from '../checkpoint/coverage.js'
import { setsOf } from '../checkpoint/weight-sets.js'
import type { CheckpointFacts } from '../ports/checkpoint.js'
import type { ModelRuntime } from '../ports/runtime.js'
import type { ServeFacts, ServeSession } from '../ports/serving.js'
import { openPolicy } from '../quality-policy.js'
import { type ServeConfig, type ServeSettings, type ServingOptions, serveSettings } from './settings.js'
import { serveSpec } from './spec.js'
import { checkedLabel, checkedPlan, checkedVolume, type HuVolume, huOf, onGrid } from './volume-input.js'

export interface OpenRuntimeOptions extends ServingOptions {
  /** Checkpoint of a synthesis training. Without it, tumors are hand-crafted. */
  readonly generator?: string | undefined
  /** Checkpoint of the segmentor that `segment` runs and that judges synthetic tumors. */
  readonly baseline?: string | undefined
  /** Aborts the opening, and closes an open runtime. */
  readonly signal?: AbortSignal | undefined
  /** Folder for the logs of the process. Default: a temporary folder, which is kept only if the process failed. */
  readonly logDirectory?: string | undefined
  readonly onNote?: ((text: string, level: 'info' | 'warning') => void) | undefined
}

/** Properties of a requested tumor; the seed decides everything else. */
export interface TumorWish {
  readonly organ: OrganName
  readonly size: SizeClass
  readonly seed: number
}

export interface SynthesisRequest {
  /** HU, RAS, at the spacing of the networks: a crop or a whole prepared scan. */
  readonly image: HuVolume
  /** Ids of the region on the same grid. */
  readonly label: LabelMap
  /** Properties to plan here, or a plan of `simulateTumor` in this label. */
  readonly tumor: TumorWish | TumorPlan
  /** `hu` (default): int16. `windowed`: float32 as the networks get it, about 0 to 1. */
  readonly output?: 'hu' | 'windowed' | undefined
}

export interface PaintedTumor {
  readonly outcome: 'painted'
  readonly request: SynthesisRequest
  readonly plan: TumorPlan
  readonly image: Volume<Int16Array | Float32Array>
  /** The label of the request, with the tumor's id where shape and organ overlap. */
  readonly label: LabelMap
  /** 1 where an intensity may differ; everywhere else `image` has the bits of the request. */
  readonly change: LabelMap
  /** Verdict of the runtime's policy; `notJudged` without a baseline. The caller drops rejected tumors. */
  readonly verdict: Verdict
  readonly networkSeconds: number
}

/** A tumor for which there is no place in the label. */
export interface NoPlace {
  readonly outcome: 'noRoom' | 'organTooSmall'
  readonly request: SynthesisRequest
}

/** A label map on the grid of the volume; ids are the outputs of the baseline. */
export interface Segmentation extends LabelMap {
  /** Mean over the windows, [classes, ...shape]; null if not requested. */
  readonly logits: { readonly data: Float32Array; readonly shape: readonly number[] } | null
  /** Seconds inside the network. */
  readonly networkSeconds: number
}

export interface SegmentOptions {
  readonly logits?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

export interface SynthesizeCallOptions {
  readonly signal?: AbortSignal | undefined
  /** Number of requests taken before the first result is read. Default: 2. */
  readonly ahead?: number | undefined
}

/** Loaded networks that answer calls until they are closed; made by `openRuntime`. */
export interface WarmRuntime extends AsyncDisposable {
  readonly device: string
  readonly versions: Readonly<Record<string, string>>
  /** Settings of every call, completed and frozen. */
  readonly config: ServeConfig
  /**
   * Paint one tumor per request; results come in the order of the requests, which are read when needed. Calls may
   * overlap. Arrays of a request must not change before its result.
   * @throws UsageError, DataError for an invalid request, which ends the iteration; StoppedError if cancelled
   */
  synthesize(
    requests: Iterable<SynthesisRequest> | AsyncIterable<SynthesisRequest>,
    options?: SynthesizeCallOptions,
  ): AsyncIterable<PaintedTumor | NoPlace>
  /**
   * Segment a volume with the baseline. A volume in RAS at the network's spacing is used unchanged. Any other is resampled
   * to that grid and cropped to its foreground; its labels are resampled back (nearest; logits linearly).
   */
  segment(volume: HuVolume, options?: SegmentOptions): Promise<Segmentation>
  /** End the process; open calls reject. */
  close(): Promise<void>
}

/**
 * Load a generator and a baseline into one Python process that waits for calls.
 * @throws CheckpointError, UsageError, ConfigError, EnvironmentError before the process is ready
 */
export async function openWarmRuntime(
  options: OpenRuntimeOptions,
  runtime: ModelRuntime,
): Promise<WarmRuntime> {
  const { signal } = options
  if (signal?.aborted) throw openingStopped()
  refusePlugins(options)
  const sets = setsOf(options.weights)
  const inspect = async (network: 'generator' | 'baseline'): Promise<CheckpointFacts | null> => {
    const path = options[network]
    if (path === undefined) return null
    return await runtime.inspect(await checkpointFile(path), { signal, weights: sets[network] })
  }
  const same = options.baseline === options.generator && sets.baseline === sets.generator
  const [generator, other] = await Promise.all([inspect('generator'), same ? null : inspect('baseline')])
  const baseline = same ? generator : other
  const settings = serveSettings(options, generator, baseline)
  for (const note of settings.notes) options.onNote?.(note, 'warning')

  const { policy } = await openPolicy(settings.config.quality, settings.config.prepare)
  const logs = options.logDirectory ?? (await makeTemporaryFolder('freetumor-'))
  const call = { signal, logDirectory: logs, note: options.onNote }
  const session = runtime.serve(await serveSpec(settings), call)
  const opened = new OpenedRuntime(session, settings, policy, async (crashed) => {
    release()
    if (!crashed && options.logDirectory === undefined) await rm(logs, { recursive: true, force: true })
  })
  const release = onAbort(signal, () => void opened.close())
  try {
    return opened.as(await session.ready)
  } catch (error) {
    await opened.close(error instanceof RuntimeCrashError)
    throw signal?.aborted ? openingStopped() : error
  }
}

/** @throws UsageError for a plug-in in the place of a checkpoint, as a configuration may name one */
function refusePlugins(options: OpenRuntimeOptions): void {
  for (const network of ['generator', 'baseline'] as const) {
    const given: unknown = options[network]
    if (given === undefined || typeof given === 'string') continue
    const found =
      typeof given === 'object' && given !== null && 'plugin' in given ? 'a plug-in' : typeof given
    throw new UsageError(
      `openRuntime: wrong ${network} (expected the path of a checkpoint, found ${found})`,
      {
        hint: 'plug-ins work in `train`, `synthesize` and `predict`',
      },
    )
  }
}

function openingStopped(): StoppedError {
  return new StoppedError('openRuntime was stopped', { hint: 'open the runtime again' })
}

class OpenedRuntime implements WarmRuntime {
  device = ''
  versions: Readonly<Record<string, string>> = {}
  readonly config: ServeConfig
  #crashed = false

  constructor(
    private readonly session: ServeSession,
    private readonly settings: ServeSettings,
    private readonly policy: QualityPolicy,
    private readonly cleanUp: (crashed: boolean) => Promise<void>,
  ) {
    this.config = settings.config
  }

  as({ device, versions }: ServeFacts): this {
    this.device = device
    this.versions = versions
    return this
  }

  async close(crashed = this.#crashed): Promise<void> {
    await this.session[Symbol.asyncDispose]()
    await this.cleanUp(crashed)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async segment(volume: HuVolume, options: SegmentOptions = {}): Promise<Segmentation> {
    const { baseline, config } = this.settings
    if (baseline === null)
      throw new UsageError('this runtime has no segmentor', { hint: 'open it with `baseline`' })
    const outputs = segmentorOf(baseline)!.outputs ?? 1
    const { shape, affine } = checkedVolume(volume, 'volume', config.prepare.spacingMm, {
      bytesPerVoxel: options.logits ? 4 * outputs : 4,
    })
    const call = {
      image: huOf(volume, 'volume'),
      shape,
      affine: onGrid(affine, config.prepare.spacingMm) ? null : affine,
      logits: options.logits ?? false,
    }
    const { labels, logits, networkSeconds } = await this.#noting(this.session.segment(call, options.signal))
    return {
      data: labels,
      shape,
      affine,
      logits: logits && { data: logits, shape: [outputs, ...shape] },
      networkSeconds,
    }
  }

  async *synthesize(
    requests: Iterable<SynthesisRequest> | AsyncIterable<SynthesisRequest>,
    { signal, ahead = 2 }: SynthesizeCallOptions = {},
  ): AsyncIterable<PaintedTumor | NoPlace> {
    if (!(Number.isInteger(ahead) && ahead >= 1))
      throw new UsageError(`ahead: wrong value (expected an integer of at least 1, found ${ahead})`, {
        hint: 'pass 1 or more, or omit `ahead`',
      })
    // a reader that stops early cancels its requests
    const left = new AbortController()
    const release = onAbort(signal, () => left.abort())
    const open: Promise<PaintedTumor | NoPlace>[] = []
    try {
      let number = 0
      for await (const request of requests) {
        const made = this.#paint(request, `request ${number++}`, left.signal)
        made.catch(() => {}) // it is awaited below, in its turn
        open.push(made)
        if (open.length >= ahead) yield await open.shift()!
      }
      while (open.length > 0) yield await open.shift()!
    } finally {
      release()
      left.abort()
    }
  }

  async #paint(
    request: SynthesisRequest,
    name: string,
    signal: AbortSignal,
  ): Promise<PaintedTumor | NoPlace> {
    const { spacingMm } = this.config.prepare
    const { shape, affine } = checkedVolume(request.image, `${name}, image`, spacingMm, { bytesPerVoxel: 4 })
    if (!onGrid(affine, spacingMm))
      throw new UsageError(
        `${name}, image: wrong grid (expected RAS at ${spacingMm.join(' x ')} mm, found ${orientationOf(affine)} at ${spacingOf(
          affine,
        )
          .map((mm) => Number(mm.toFixed(3)))
          .join(' x ')} mm)`,
        {
          hint: 'prepare the scan first; for whole scans on their own grid, use `freetumor synthesize`',
        },
      )
    checkedLabel(
      request.label,
      request.image,
      `${name}, label`,
      LABEL_SCHEMES[this.config.region].names.length,
    )
    const planned = this.#plan(request, name, shape)
    if ('outcome' in planned) return { outcome: planned.outcome, request }
    const { organ, plan } = planned
    this.#refuseUnseen(organ, name)
    const answer = await this.#noting(
      this.session.paint(
        {
          image: huOf(request.image, `${name}, image`, 'int16') as Int16Array,
          label: request.label.data,
          shape,
          tumor: asPlanned(organ.name, plan, 0),
          windowed: request.output === 'windowed',
        },
        signal,
      ),
    )
    const kind = { organ: organ.name, size: plan.size }
    return {
      outcome: 'painted',
      request,
      plan,
      image: { data: answer.image, shape, affine },
      label: { data: answer.label, shape, affine },
      change: { data: answer.change, shape, affine },
      verdict: judge(kind, answer.measures, this.policy, this.settings.baseline !== null),
      networkSeconds: answer.networkSeconds,
    }
  }

  #plan(
    { label, tumor }: SynthesisRequest,
    name: string,
    shape: Vec3,
  ): { organ: Organ; plan: TumorPlan } | { outcome: NoPlace['outcome'] } {
    const { organs } = LABEL_SCHEMES[this.config.region]
    if ('box' in tumor) {
      const organ = organs.find((one) => one.label === tumor.organLabel)
      if (!organ)
        throw new UsageError(`${name}: id ${tumor.organLabel} is no organ of the ${this.config.region}`, {
          hint: `plan the tumor in one of ${organs.map((one) => `${one.label} (${one.name})`).join(', ')}`,
        })
      checkedPlan(tumor, shape, name)
      return { organ, plan: tumor }
    }
    const organ = organs.find((one) => one.name === tumor.organ)
    if (!organ) {
      const known = organs.map((one) => one.name).join(', ')
      throw new UsageError(`${name}: ${tumor.organ} is no organ of the ${this.config.region}`, {
        hint: `name one of ${known}`,
      })
    }
    const { radiusVoxels, texture } = this.config.simulation
    if (!(tumor.size in radiusVoxels))
      throw new UsageError(`${name}: size ${tumor.size} is not recognised`, {
        hint: `name one of ${Object.keys(radiusVoxels).join(', ')}`,
      })
    if (!Number.isSafeInteger(tumor.seed))
      throw new UsageError(`${name}: wrong seed (expected an integer, found ${tumor.seed})`, {
        hint: 'pass an integer',
      })
    const found = simulateTumor(
      { label: label.data, shape, organLabel: organ.label },
      {
        size: tumor.size,
        radiusVoxels: radiusVoxels[tumor.size],
        textureSizeVoxels: texturesFor(shape, texture.sizeVoxels),
        textureCount: texture.count,
      },
      openStream([tumor.seed, 'runtime', organ.name, tumor.size]),
    )
    return found.outcome === 'placed' ? { organ, plan: found.plan } : { outcome: found.outcome }
  }

  /** Refuse an organ whose tumors the baseline cannot detect: it would reject them all. */
  #refuseUnseen(organ: Organ, name: string): void {
    const { baseline } = this.settings
    if (baseline !== null && !covers(tumorCoverage(baseline), [organ.name]))
      throw new UsageError(
        `${name}: the baseline ${baseline.path} has no tumor output for the ${organ.name}`,
        {
          hint: 'open the runtime with a baseline for this organ, or without one',
        },
      )
  }

  /** Record whether the process crashed, so that its logs are kept. */
  async #noting<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer
    } catch (error) {
      this.#crashed ||= error instanceof RuntimeCrashError
      throw error
    }
  }
}
