import { join, resolve } from 'node:path'
import { type Command, Option } from 'commander'
import type { ArrayLimits } from '../../cluster/array.js'
import { SCHEDULERS, type Scheduler } from '../../cluster/job.js'
import { UsageError } from '../../errors.js'
import type { QueueLimits } from '../../pipeline/ports/scheduler.js'
import { planArrayJobs, submitArray } from '../../pipeline/submit/array.js'
import { planChain, submitChain } from '../../pipeline/submit/chain.js'
import { arrayOnKubernetes, planOnKubernetes, submitToKubernetes } from '../../pipeline/submit/kubernetes.js'
import { type PlannedJob, planJob, submitJob } from '../../pipeline/submit/run.js'
import { quoted } from '../../plain-text.js'
import { installation } from '../../runtime/installation.js'
import { kubectl } from '../../runtime/kubectl.js'
import { slurm } from '../../runtime/slurm.js'
import { readConfig } from '../config-file.js'
import { wholeNumber } from '../numbers.js'
import { type CliIo, printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'

interface Options {
  readonly to: Scheduler
  readonly out?: string
  readonly set?: string[]
  readonly chain?: boolean
  readonly array?: number
  readonly only?: string
  readonly dryRun?: boolean
  readonly output: 'text' | 'json'
}

/** `freetumor submit`: run a training, a script or a command as a job of a cluster. */
export const addSubmitCommand: AddCommand = (program, io) => {
  withExample(
    program.command('submit'),
    'freetumor submit big.yaml --to slurm --dry-run',
    'freetumor submit big.yaml --to slurm --output json',
    'freetumor submit big.yaml --to kubernetes --out /runs/big',
    'freetumor submit --chain baseline.yaml synthesis.yaml segmentation.yaml',
    'freetumor submit big.yaml -- my_train.py --epochs 10',
    'freetumor submit big.yaml --array 20 -- predict --checkpoint runs/b --images scans --out masks',
    'freetumor submit big.yaml --array 20 --only 3,7-9 -- predict --checkpoint runs/b --images scans --out masks',
  )
    .description('Submit a training as a job of a cluster')
    .argument(
      '<configs...>',
      'run configuration; after `--`, a torchrun script or a command with its arguments',
    )
    .addOption(new Option('--to <scheduler>', 'Set the scheduler').choices(SCHEDULERS).default('slurm'))
    .option('--out <dir>', 'Set the run directory, on a disk of all nodes (default: runs/NAME/ID)')
    .option('--set <key=value...>', 'Replace values of the configuration')
    .option('--chain', 'Submit several trainings; each starts when the one before has completed')
    .option('--dry-run', 'Print the script or the manifests of the job; submit nothing')
    .option('--array <n>', 'Split the cases of the command into N tasks, then merge', wholeNumber(1))
    .option('--only <shards>', 'Submit only these shards of --array, such as 3,7-9, then merge all')
    .addOption(outputOption())
    .action(async (words: string[], options: Options, command: Command) => {
      const own = wordsAfterDashes(command)
      const files = words.slice(0, words.length - own.length)
      if (options.only !== undefined && (options.array === undefined || options.to !== 'slurm'))
        throw new UsageError('--only: selects shards of an array on Slurm (expected --array)', {
          hint: 'pass --array with the number of all shards',
        })
      if (options.chain) return await submitTrainings(io, files, own, options)
      if (files.length !== 1)
        throw new UsageError(`submit: wrong number of configurations (expected 1, found ${files.length})`, {
          hint: 'pass --chain to submit several trainings, or `--` before a script',
        })
      const config = await readConfig(io, files[0]!, options.set)
      if (options.to === 'kubernetes') return await submitManifests(io, config, own, options)
      if (options.array !== undefined)
        return await submitShards(io, config, own, options.array, command, options)
      const work = own.length === 0 ? undefined : ({ kind: 'script', argv: own } as const)
      const out = options.out === undefined ? undefined : resolve(io.cwd, options.out)
      const planned = await planJob(config, installation(), { out, work, workingDirectory: io.cwd })
      if (options.dryRun) return printScripts(io, [planned])
      const submitted = await submitJob(planned, slurm)
      printResult(io, 'submit', options.output, submitted, () => [
        `job ${submitted.id} in ${submitted.directory}`,
        `\`freetumor runs attach ${quoted(submitted.directory)}\` prints its events`,
      ])
    })
}

/** Return the words after `--`, which belong to another program. */
function wordsAfterDashes(command: Command): readonly string[] {
  // not among the types of commander
  const { rawArgs } = command.parent as unknown as { readonly rawArgs: readonly string[] }
  const at = rawArgs.indexOf('--')
  return at < 0 ? [] : rawArgs.slice(at + 1)
}

async function submitTrainings(
  io: CliIo,
  files: readonly string[],
  own: readonly string[],
  options: Options,
): Promise<void> {
  if (options.to === 'kubernetes')
    throw new UsageError('submit: Kubernetes has no dependencies between jobs (expected --to slurm)', {
      hint: 'without --chain, submit each training after `kubectl wait` for the one before',
    })
  if (own.length > 0 || options.array !== undefined)
    throw new UsageError('submit: --chain takes configurations only', { hint: 'remove `--` and --array' })
  const links = []
  for (const file of files) {
    const config = await readConfig(io, file, options.set)
    const out = options.out === undefined ? undefined : resolve(io.cwd, options.out, config.name)
    links.push({ file: resolve(io.cwd, file), config, out })
  }
  const planned = await planChain(links, installation(), io.cwd)
  if (options.dryRun) return printScripts(io, planned)
  const jobs = await submitChain(planned, slurm)
  printResult(io, 'submit --chain', options.output, { jobs }, () =>
    jobs.map(({ id, directory }) => `job ${id} in ${directory}`),
  )
}

async function submitShards(
  io: CliIo,
  config: Awaited<ReturnType<typeof readConfig>>,
  argv: readonly string[],
  shards: number,
  command: Command,
  options: Options,
): Promise<void> {
  const out = resolve(io.cwd, options.out ?? join('runs', `${config.name}-${argv[0] ?? 'array'}`))
  const commandLine = commandLineOf(command)
  const planned = await planArrayJobs(
    config,
    installation(),
    { argv, shards, only: options.only, commandLine, out, workingDirectory: io.cwd },
    options.dryRun
      ? limitsOf(config, null)
      : limitsOf(config, await slurm.limits(config.cluster?.partition ?? null)),
  )
  if (options.dryRun) return printTexts(io, [...planned.scripts.values()])
  const submitted = await submitArray(planned, slurm)
  printResult(io, 'submit --array', options.output, submitted, () => [
    ...submitted.arrays.map((id, at) => {
      const { work } = planned.waves[0]![at]!.job
      const tasks = work.kind === 'array' ? work.slice : ''
      return `job ${id} with tasks ${tasks} of ${shards} shards in ${submitted.directory}`
    }),
    submitted.merge === null
      ? `${submitted.waves - 1} more waves follow; the last one submits the merge`
      : `job ${submitted.merge.id} merges their results`,
    `\`freetumor runs show ${quoted(submitted.directory)}\` prints the states of the shards`,
  ])
}

/** Return the command line as words of a shell, without `--only`. */
function commandLineOf(command: Command): string {
  // not among the types of commander
  const { rawArgs } = command.parent as unknown as { readonly rawArgs: readonly string[] }
  const words = rawArgs.slice(rawArgs.indexOf('submit'))
  const end = words.indexOf('--')
  const own = words.slice(0, end).filter((word, at) => {
    return !/^--only(=|$)/.test(word) && words[at - 1] !== '--only'
  })
  return ['freetumor', ...own, ...words.slice(end)].map(quoted).join(' ')
}

/** Default of Slurm for MaxArraySize. */
const DEFAULT_ARRAY_SIZE = 1001

/** Return the limits for an array; without the answer of the scheduler those of the configuration and its default. */
function limitsOf(
  { cluster }: Awaited<ReturnType<typeof readConfig>>,
  found: QueueLimits | null,
): ArrayLimits {
  const most = cluster?.slurm.maxSubmitJobs ?? found?.maxSubmitJobs ?? null
  const free = [found?.freeJobs ?? null, most === null ? null : most - (found?.submittedJobs ?? 0)]
  const known = free.filter((one) => one !== null)
  return {
    maxArraySize: found?.maxArraySize ?? DEFAULT_ARRAY_SIZE,
    maxSubmitJobs: known.length === 0 ? null : Math.min(...known),
  }
}

/** Send the manifests of a job to Kubernetes. */
async function submitManifests(
  io: CliIo,
  config: Awaited<ReturnType<typeof readConfig>>,
  own: readonly string[],
  options: Options,
): Promise<void> {
  const { array, dryRun } = options
  const script = own.length === 0 ? undefined : ({ kind: 'script', argv: own } as const)
  const work = array === undefined ? script : arrayOnKubernetes(own, array)
  const folder = array === undefined ? undefined : join('runs', `${config.name}-${own[0]}`)
  const out = options.out ?? folder
  const planned = await planOnKubernetes(config, {
    out: out === undefined ? undefined : resolve(io.cwd, out),
    work,
    workingDirectory: io.cwd,
  })
  for (const note of planned.notes) io.note(`note: ${note}`)
  if (dryRun) return io.print(planned.text.trimEnd())
  const submitted = await submitToKubernetes(planned, kubectl)
  const { id, merge } = planned
  if (merge === null)
    return printResult(io, 'submit', options.output, submitted, () => [
      `${id} in ${submitted.directory}`,
      `\`kubectl get ${id}\` prints its state`,
    ])
  const jobs = { ...submitted, merge: { id: merge, directory: submitted.directory } }
  printResult(io, 'submit --array', options.output, jobs, () => [
    `${id} with ${array} tasks in ${submitted.directory}`,
    `${merge} merges their results; start it when all tasks have completed:`,
    `kubectl patch ${merge} --type merge --patch '{"spec":{"suspend":false}}'`,
  ])
}

function printScripts(io: CliIo, planned: readonly PlannedJob[]): void {
  printTexts(
    io,
    planned.map(({ script }) => script),
  )
}

function printTexts(io: CliIo, scripts: readonly string[]): void {
  io.print(scripts.map((script) => script.trimEnd()).join('\n\n'))
}
