import { resolve } from 'node:path'
import { Option } from 'commander'
import { SCHEDULERS, type Scheduler } from '../../cluster/job.js'
import {
  type PlannedManifests,
  planOnKubernetes,
  submitToKubernetes,
} from '../../pipeline/submit/kubernetes.js'
import { planJob, submitJob } from '../../pipeline/submit/run.js'
import { installation } from '../../runtime/installation.js'
import { kubectl } from '../../runtime/kubectl.js'
import { slurm } from '../../runtime/slurm.js'
import { readConfig } from '../config-file.js'
import { type CliIo, printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'

interface Options {
  readonly to: Scheduler
  readonly out?: string
  readonly set?: string[]
  readonly dryRun?: boolean
  readonly output: 'text' | 'json'
}

/** `freetumor submit`: start a training as a job of a cluster. */
export const addSubmitCommand: AddCommand = (program, io) => {
  withExample(
    program.command('submit'),
    'freetumor submit big.yaml --to slurm --dry-run',
    'freetumor submit big.yaml --to slurm',
    'freetumor submit big.yaml --to kubernetes --out /runs/big',
  )
    .description('Submit a training as a job of a cluster')
    .argument('<config>', 'run configuration with a section `cluster`: a file, or a shipped name')
    .addOption(new Option('--to <scheduler>', 'Set the scheduler').choices(SCHEDULERS).default('slurm'))
    .option('--out <dir>', 'Set the run directory, on a shared disk (default: runs/NAME/ID)')
    .option('--set <key=value...>', 'Replace values of the configuration')
    .option('--dry-run', 'Print the script or the manifests of the job; submit nothing')
    .addOption(outputOption())
    .action(async (file: string, options: Options) => submit(io, file, options))
}

async function submit(io: CliIo, file: string, options: Options): Promise<void> {
  const config = await readConfig(io, file, options.set)
  const out = options.out === undefined ? undefined : resolve(io.cwd, options.out)
  if (options.to === 'kubernetes')
    return submitManifests(io, await planOnKubernetes(config, { out, workingDirectory: io.cwd }), options)
  const planned = await planJob(config, installation(), { out, workingDirectory: io.cwd })
  if (options.dryRun) return io.print(planned.script.trimEnd())
  const submitted = await submitJob(planned, slurm)
  printResult(io, 'submit', options.output, submitted, () => [
    `job ${submitted.id} in ${submitted.directory}`,
    `\`freetumor runs attach ${submitted.directory}\` prints its events`,
  ])
}

/** Send manifests to Kubernetes; with `--dry-run`, print them. */
async function submitManifests(io: CliIo, planned: PlannedManifests, options: Options): Promise<void> {
  for (const note of planned.notes) io.note(`note: ${note}`)
  if (options.dryRun) return io.print(planned.text.trimEnd())
  const submitted = await submitToKubernetes(planned, kubectl)
  const { id, merge } = planned
  printResult(io, 'submit', options.output, submitted, () => [
    `${id} in ${submitted.directory}`,
    `\`kubectl get ${id}\` prints its state`,
    ...(merge === null
      ? []
      : [
          `${merge} merges the shards; after ${id} is complete, start it:`,
          `\`kubectl patch ${merge} --type merge --patch '{"spec":{"suspend":false}}'\``,
        ]),
  ])
}
