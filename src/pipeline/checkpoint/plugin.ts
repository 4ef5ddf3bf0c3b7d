import type { PluginSettings } from '../../config/sections/networks.js'
import { ConfigError } from '../../errors.js'
import { LABEL_SCHEMES, type OrganName, plainLabelName } from '../../volume/labels.js'
import type { Vec3 } from '../../volume/volume.js'
import type { StageContext } from '../context.js'
import type { PluginFacts, PluginIdentity, PluginPart, PluginSpec } from '../ports/plugin.js'
import { covers, type PaintingPlan, type TumorCoverage } from './coverage.js'

type Network = 'baseline' | 'generator'

/** The grid and intensity window that a stage uses. */
export interface Prepared {
  readonly spacingMm: Vec3
  readonly windowHu: readonly [number, number]
}

/** Return a plug-in as Python receives it. */
export function pluginSpec(plugin: PluginSettings): PluginSpec
export function pluginSpec(plugin: PluginSettings | null | undefined): PluginSpec | null
export function pluginSpec(plugin: PluginSettings | null | undefined): PluginSpec | null {
  if (!plugin) return null
  const { python, command, startTimeoutSeconds, requestTimeoutSeconds } = plugin
  return {
    command: python === null ? command : [python, ...command],
    startTimeoutSeconds,
    requestTimeoutSeconds,
  }
}

/** Return the command line of a plug-in in one line. */
export function commandLine({ command }: PluginSpec): string {
  return command.map((word) => (/^[\w@%+=:,./{}-]+$/.test(word) ? word : JSON.stringify(word))).join(' ')
}

export function identityOf({ name, version, licence, sha256 }: PluginFacts): PluginIdentity {
  return { name, version, licence, sha256 }
}

/**
 * Start the plug-in of a network once, check that the stage can use it, and end it.
 * @throws PluginError if it does not start; ConfigError if it does other work, other organs or another spacing
 */
export async function usablePlugin(
  network: Network,
  plugin: PluginSettings,
  plan: Pick<PaintingPlan, 'organs'>,
  prepared: Prepared,
  { runtime, signal, note }: StageContext,
): Promise<PluginFacts> {
  const facts = await runtime.inspectPlugin(pluginSpec(plugin), { signal })
  const where = `networks.${network}.plugin: ${facts.name} ${facts.version}`
  const part = network === 'generator' ? facts.synthesize : facts.segment
  if (part === null)
    throw new ConfigError(
      `${where}: cannot ${network === 'generator' ? 'synthesize tumors' : 'segment'} (expected it in its hello)`,
      { hint: 'name another plug-in' },
    )
  refuseOtherSpacing(where, part, prepared.spacingMm)
  const [low, high] = prepared.windowHu
  if (part.windowHu !== null && (part.windowHu[0] < low || part.windowHu[1] > high))
    note(
      `${where}: reads ${part.windowHu.join(' to ')} HU, but crops are clipped to ${low} to ${high} HU`,
      'warning',
    )
  const planned = plan.organs.map(({ name }) => name)
  const isCovered =
    network === 'generator'
      ? planned.every((organ) => part.names.includes(organ))
      : covers(tumorsOf(facts), planned)
  if (!isCovered)
    throw new ConfigError(
      `${where}: does not cover the planned organs (expected ${planned.join(', ')}, found ${part.names.join(', ')})`,
      { hint: 'name another plug-in, or set the other simulation.organWeights to 0' },
    )
  return facts
}

/** @throws ConfigError if a plug-in was made for another spacing, to 1 % */
function refuseOtherSpacing(where: string, { spacingMm }: PluginPart, found: Vec3): void {
  if (spacingMm === null) return
  if (spacingMm.some((mm, axis) => Math.abs(mm - found[axis]!) > 0.01 * mm))
    throw new ConfigError(
      `${where}: wrong spacing (expected ${spacingMm.join(' x ')} mm, found ${found.join(' x ')} mm)`,
      { hint: `set prepare.spacingMm: [${spacingMm.join(', ')}]` },
    )
}

/** Return the organs whose tumors a plug-in labels. */
function tumorsOf({ segment, tumorOutputs }: PluginFacts): TumorCoverage {
  const names = tumorOutputs.map((output) => plainLabelName(segment!.names[output]!))
  const organs = Object.values(LABEL_SCHEMES).flatMap(({ organs, names: known }) =>
    organs.filter(
      ({ name, tumorLabel }) => names.includes(`${name} tumor`) || names.includes(known[tumorLabel]!),
    ),
  )
  const named = organs.map(({ name }): OrganName => name)
  return { named, unnamed: Math.max(0, names.length - named.length) }
}
