import { join, resolve } from 'node:path'
import { Option } from 'commander'
import { SCHEDULERS, type Scheduler } from '../../cluster/job.js'
import { planLaunchedTraining, type RunPlan } from '../../pipeline/plan/launch.js'
import type { StepCost } from '../../pipeline/ports/launch-plan.js'
import { planOnKubernetes } from '../../pipeline/submit/kubernetes.js'
import { planJob } from '../../pipeline/submit/run.js'
import { counted } from '../../plain-text.js'
import { installation } from '../../runtime/installation.js'
import { launchPlanner } from '../../runtime/launch-plan.js'
import { readConfig } from '../config-file.js'
import { wholeNumber } from '../numbers.js'
import { printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'

interface Options {
  readonly config: string
  readonly out?: string
  readonly set?: string[]
  readonly nodeRank: number
  readonly rendezvous: string
  readonly to: Scheduler
  readonly measure: boolean
  readonly output: 'text' | 'json'
}

/** `freetumor plan`: print the plan of a training without running it. */
export const addPlanCommand: AddCommand = (program, io) => {
  withExample(program.command('plan'), 'freetumor plan --config abdomen-segmentation.yaml')
    .description('Print the command, environment, counts and estimates of a training; train nothing')
    .requiredOption(
      '--config <file>',
      'Read this run configuration: a file, or the name of a shipped configuration',
    )
    .option('--out <dir>', 'Set the run directory that `train` would use')
    .option('--set <key=value...>', 'Replace values of the configuration')
    .option('--node-rank <r>', 'Set the number of this node, from 0', wholeNumber(0), 0)
    .option('--rendezvous <host:port>', 'Set the rendezvous: an address of node 0', '<host:port>')
    .addOption(
      new Option(
        '--to <scheduler>',
        'Print the script for this scheduler, if the configuration has `cluster`',
      )
        .choices(SCHEDULERS)
        .default('slurm'),
    )
    .option('--no-measure', 'Skip the measurement of what runtime.reproducible costs (a few steps on noise)')
    .addOption(outputOption())
    .action(async (options: Options) => {
      const config = await readConfig(io, options.config, options.set)
      const { nodeRank, rendezvous, measure } = options
      const out = resolve(io.cwd, options.out ?? join('runs', config.name, 'ID'))
      const plan = await planLaunchedTraining(config, launchPlanner, { out, nodeRank, rendezvous, measure })
      const script = config.cluster === null ? null : await scriptOf(config, options.to, out, io.cwd)
      for (const warning of plan.warnings) io.note(`warning: ${warning}`)
      printResult(io, 'plan', options.output, { ...plan, script }, () => [
        ...inWords(plan),
        ...(script === null ? [] : ['script', ...script.trimEnd().split('\n')]),
      ])
    })
}

/** Return the text that `submit` would send to the scheduler. */
async function scriptOf(
  config: Awaited<ReturnType<typeof readConfig>>,
  to: Scheduler,
  out: string,
  cwd: string,
): Promise<string> {
  const options = { out, workingDirectory: cwd }
  if (to === 'kubernetes') return (await planOnKubernetes(config, options)).text
  return (await planJob(config, installation(), options)).script
}

function inWords(plan: RunPlan): string[] {
  const { cases, estimates, reproducible: cost, run, launch } = plan
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`
  const weights = Object.entries(plan.weights).filter(([, source]) => source !== null)
  return [
    `${plan.name} (${plan.job}) in ${run}`,
    `cases        ${cases.labelled} labelled, ${counted(cases.hosts, 'host')}, ${cases.heldOut} held out${cases.missing > 0 ? `, ${cases.missing} missing` : ''}`,
    `steps        ${plan.steps} of ${counted(plan.itemsPerStep, 'item')}, ${counted(plan.cropsPerStepAndRank, 'crop')} per rank; ${plan.epochs.toFixed(2)} epochs of ${counted(plan.itemsPerEpoch, 'item')}`,
    `saves        ${counted(plan.checkpoints, 'checkpoint')}, ${counted(plan.validations, 'validation')}`,
    ...weights.map(([network, source]) => `${network.padEnd(12)} ${source}`),
    `estimates    cache at most ${megabytes(estimates.cacheBytes)}, textures ${megabytes(estimates.textureBytes)}, ${megabytes(estimates.bytesPerStep)} per step to the ranks`,
    ...(estimates.segmentorBytes === null
      ? []
      : [`memory       at least ${megabytes(estimates.segmentorBytes)} per rank for the segmentor`]),
    ...(estimates.judgeBytes === null
      ? []
      : [`memory       at least ${megabytes(estimates.judgeBytes)} per rank for the baseline`]),
    ...(cost === null ? [] : [`reproducible ${costInWords(cost)}`]),
    `command      ${launch.argv.join(' ')}`,
    ...Object.entries(launch.environment).map(([name, value]) => `environment  ${name}=${value}`),
    ...(launch.removed.length > 0 ? [`removed      ${launch.removed.join(' ')}`] : []),
  ]
}

function costInWords({ seconds, items, cropsPerVolume, patchVoxels, device, sumBytes }: StepCost): string {
  const ratio = (seconds.reproducible / seconds.default).toFixed(2)
  const measured = `${items} x ${cropsPerVolume} crops of ${patchVoxels.join('x')} on ${device}: ${seconds.reproducible.toFixed(2)} s instead of ${seconds.default.toFixed(2)} s`
  return `steps take ${ratio} times as long without data loading (${measured}); each rank needs ${(sumBytes / 1e6).toFixed(1)} MB more memory and sends as much per step`
}
