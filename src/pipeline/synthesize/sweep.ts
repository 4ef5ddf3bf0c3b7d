import { existsSync } from 'node:fs'
import { access, readFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { loadConfig, withOverrides } from '../../config/load.js'
import { resolveSections } from '../../config/resolve-sections.js'
import { ConfigError, UsageError } from '../../errors.js'
import { asRecord, parseForeignJson } from '../../foreign-text.js'
import { readJsonLog } from '../../jsonl.js'
import type { LedgerLine, SynthesisLine } from '../../quality/ledger.js'
import type { QualityPolicy } from '../../quality/policy.js'
import { judgeAgain, readSweptLedger, type SweepRow, sweepThresholds } from '../../quality/sweep.js'
import { cannotBeRead } from '../../system-errors.js'
import type { Vec3 } from '../../volume/volume.js'
import { type OpenedPolicy, openPolicy } from '../quality-policy.js'

export interface SweepOptions {
  /** A ledger, or the folder of a run or of a synthetic data set that holds `ledger.jsonl`. */
  readonly ledger: string
  /** Configuration whose `quality` is applied. Default: the policy that made the ledger. */
  readonly config?: string | undefined
  /** `quality.KEY=VALUE` pairs that override it. */
  readonly set?: readonly string[] | undefined
  /** Thresholds of the detected fraction above which a tumor is accepted. Default: 0.1 to 0.9. */
  readonly thresholds?: readonly number[] | undefined
}

export interface Sweep {
  readonly ledger: string
  readonly policy: QualityPolicy
  /** False if no baseline judged the tumors: then no threshold makes a difference. */
  readonly hasBaseline: boolean
  /** The policy as it stands. */
  readonly asItStands: SweepRow
  /** The policy with each of the thresholds. */
  readonly thresholds: readonly SweepRow[]
}

const THRESHOLDS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]

/**
 * Count the attempts of a ledger that other thresholds and rules would accept. Only the ledger is read; nothing is recomputed.
 * @throws UsageError if there is no ledger, or it lacks a measure that a rule needs
 */
export async function sweepLedger(options: SweepOptions): Promise<Sweep> {
  const ledger = resolve(
    options.ledger.endsWith('.jsonl') ? options.ledger : join(options.ledger, 'ledger.jsonl'),
  )
  await access(ledger).catch(({ code }: NodeJS.ErrnoException) => {
    const isMissing = code === 'ENOENT' || code === 'ENOTDIR'
    throw new UsageError(
      isMissing && existsSync(options.ledger)
        ? `${options.ledger}: holds no ledger.jsonl`
        : cannotBeRead(ledger, code, 'ledger'),
      { hint: 'name a ledger, or the folder that holds one' },
    )
  })
  const { policy } = await policyOf(dirname(ledger), options)
  const swept = await readSweptLedger(readJsonLog<LedgerLine | SynthesisLine>(ledger))
  return {
    ledger,
    policy,
    hasBaseline: swept.hasBaseline,
    asItStands: judgeAgain(swept, policy),
    thresholds: sweepThresholds(swept, policy, options.thresholds ?? THRESHOLDS),
  }
}

async function policyOf(folder: string, { config, set = [] }: SweepOptions): Promise<OpenedPolicy> {
  const strange = set.filter((one) => !one.startsWith('quality.'))
  if (strange.length > 0)
    throw new ConfigError(`--set ${strange[0]}: not a key of quality`, {
      hint: 'a sweep accepts only quality.KEY=VALUE',
    })
  const { quality, spacingMm } =
    config === undefined ? await recordedPolicy(folder) : partsOf(await loadConfig(config))
  const input = withOverrides({ job: 'segmentation', quality }, set)
  const { reviews: _, ...resolved } = resolveSections(['quality'], input).quality
  const opened = await openPolicy({ ...resolved, reviews: null }, { spacingMm })
  const { reviews: __, ...policy } = opened.policy as typeof opened.policy & { readonly reviews?: unknown }
  return { ...opened, policy }
}

/** The parts of a configuration that decide a policy. */
interface PolicyParts {
  readonly quality: unknown
  readonly spacingMm: Vec3
}

function partsOf({ quality, prepare }: Awaited<ReturnType<typeof loadConfig>>): PolicyParts {
  return { quality, spacingMm: prepare.spacingMm }
}

/** Return the policy that made the ledger. */
async function recordedPolicy(folder: string): Promise<PolicyParts> {
  const file = join(folder, 'synthesis.json')
  const settings = await readFile(file, 'utf8').catch(() => null)
  if (settings !== null) {
    const { quality, spacingMm } = asRecord(parseForeignJson(settings, file)) ?? {}
    return { quality, spacingMm: spacingMm as Vec3 }
  }
  const resolved = join(folder, 'config.resolved.yaml')
  const config = await loadConfig(resolved).catch(() => null)
  if (config !== null) return partsOf(config)
  throw new UsageError(`${folder}: does not state the policy of its ledger`, {
    hint: 'pass --config FILE to apply its `quality`',
  })
}
