import { resolve } from 'node:path'
import type { RunConfig } from '../../config/schema.js'
import { shippedFile } from '../../config/shipped.js'
import { UsageError } from '../../errors.js'
import type { JobScheduler } from '../ports/scheduler.js'
import { type Installation, type PlannedJob, planJob, type SubmittedJob, submitJob } from './run.js'

/** A configuration of a chain, with the file that later ones may name in `trainFrom`. */
export interface ChainLink {
  readonly file: string
  readonly config: RunConfig
  /** Run directory. Default: `runs/<name>/<id>`. */
  readonly out?: string | undefined
}

/**
 * Return the jobs of trainings that follow each other. A network whose `trainFrom` names an earlier configuration takes the
 * weights of that run.
 * @throws ConfigError as `planJob`; UsageError for a wrong order, and for two trainings of one run directory
 */
export async function planChain(
  links: readonly ChainLink[],
  installation: Installation,
  workingDirectory: string,
): Promise<PlannedJob[]> {
  const directories = new Map<string, string>()
  const planned: PlannedJob[] = []
  for (const [at, { file, config, out }] of links.entries()) {
    refuseWrongOrder(links[at]!, links.slice(at))
    const linked = withWeights(config, directories)
    const one = await planJob(linked, installation, { out, workingDirectory })
    const { directory } = one.job
    if (planned.some(({ job }) => job.directory === directory))
      throw new UsageError(
        `submit --chain: ${directory}: two trainings of one run directory (expected one for each)`,
        { hint: 'give each configuration its own `name`' },
      )
    directories.set(fileOf(file), directory)
    planned.push(one)
  }
  return planned
}

/** Submit the jobs of a chain: each starts when the one before has completed. A refused job cancels those before it. */
export async function submitChain(
  planned: readonly PlannedJob[],
  scheduler: JobScheduler,
): Promise<SubmittedJob[]> {
  const submitted: SubmittedJob[] = []
  try {
    for (const one of planned) submitted.push(await submitJob(one, scheduler, submitted.at(-1) ?? null))
    return submitted
  } catch (error) {
    for (const { id } of submitted.reverse()) await scheduler.cancel(id).catch(() => {})
    throw error
  }
}

/** Refuse a training that needs the weights of itself or of a later one. @throws UsageError */
function refuseWrongOrder({ file, config }: ChainLink, rest: readonly ChainLink[]): void {
  for (const network of ['baseline', 'generator'] as const) {
    const source = config.networks[network]
    if (!source?.trainFrom || source.checkpoint !== null) continue
    const needed = fileOf(source.trainFrom)
    if (rest.some((link) => fileOf(link.file) === needed))
      throw new UsageError(
        `submit --chain: ${file}: its trainFrom names ${needed} (expected an earlier configuration, found ${needed === fileOf(file) ? 'itself' : 'a later one'})`,
        { hint: 'list each configuration after those that its `trainFrom` names' },
      )
  }
}

function withWeights(config: RunConfig, directories: ReadonlyMap<string, string>): RunConfig {
  let { networks } = config
  for (const network of ['baseline', 'generator'] as const) {
    const source = networks[network]
    if (!source?.trainFrom || source.checkpoint !== null) continue
    const directory = directories.get(fileOf(source.trainFrom))
    if (directory === undefined) continue
    networks = { ...networks, [network]: { ...source, checkpoint: directory, trainFrom: null } }
  }
  return { ...config, networks }
}

/** Return the file of a configuration that may be a shipped one. */
function fileOf(name: string): string {
  return resolve(shippedFile(name) ?? name)
}
