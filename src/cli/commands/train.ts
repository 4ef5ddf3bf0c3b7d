import { join, resolve } from 'node:path'
import { EXIT, UsageError } from '../../errors.js'
import { refuseNothingToResume } from '../../pipeline/train/resume.js'
import { startTraining } from '../../pipeline/train/run.js'
import { quoted } from '../../plain-text.js'
import { openConsoleReport } from '../../report/console.js'
import { torchRuntime } from '../../runtime/torch-runtime.js'
import { newRunId, refuseExistingRun } from '../../training/run-directory.js'
import { readConfig } from '../config-file.js'
import { startDetached } from '../detach.js'
import { wholeNumber } from '../numbers.js'
import { type CliIo, printLine, printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'

interface Options {
  readonly config?: string
  readonly out?: string
  readonly resume?: string
  readonly continue?: boolean
  readonly lockWait?: number
  readonly acceptChanges?: boolean
  readonly set?: string[]
  readonly nodes?: number
  readonly nodeRank?: number
  readonly rendezvous?: string
  readonly detach?: boolean
  readonly profile?: boolean
  readonly output: 'text' | 'json' | 'ndjson'
}

/** `freetumor train`: run the training that `job` of the configuration names. */
export const addTrainCommand: AddCommand = (program, io) => {
  withExample(
    program.command('train'),
    'freetumor train --config configs/debug-baseline.yaml --out runs/first',
    'freetumor train --resume runs/first',
    'freetumor train --config big.yaml --out runs/big --nodes 2 --node-rank 0 --rendezvous 10.0.0.1:29500',
  )
    .description('Train a baseline, a tumor generator or a segmentor')
    .option('--config <file>', 'Read this run configuration: a file, or the name of a shipped configuration')
    .option('--out <dir>', 'Set the run directory (default: runs/NAME/ID)')
    .option('--resume <run>', 'Resume the run of this directory from its newest checkpoint')
    .option('--continue', 'Resume the run in --out if it has begun, else start it')
    .option(
      '--lock-wait <s>',
      'Wait S seconds for another process that trains in the directory',
      wholeNumber(0),
      0,
    )
    .option('--accept-changes', 'Accept a changed configuration or changed data on resume')
    .option('--set <key=value...>', 'Replace values of the configuration')
    .option(
      '--nodes <n>',
      'Set the number of nodes that train together; each runs this command',
      wholeNumber(1),
    )
    .option('--node-rank <r>', 'Set the number of this node, from 0', wholeNumber(0))
    .option('--rendezvous <host:port>', 'Set the rendezvous: an address of node 0')
    .option('--profile', 'Print the time of each stage of a step at the end, and write profile.json')
    .option('--detach', 'Train in the background; return when `freetumor runs` can control the run')
    .addOption(outputOption(['text', 'json', 'ndjson']))
    .action(async (options: Options) => {
      if (options.config === undefined && options.resume === undefined)
        throw new UsageError('train: no configuration (expected --config FILE or --resume RUN)', {
          hint: '`freetumor init` writes a configuration',
        })
      const resume = options.resume === undefined ? undefined : resolve(io.cwd, options.resume)
      if (options.config === undefined) await refuseNothingToResume(resume!)
      const file = options.config ?? join(options.resume!, 'config.resolved.yaml')
      const nodes = options.nodes === undefined ? [] : [`runtime.nodes=${options.nodes}`]
      const config = await readConfig(io, file, [...(options.set ?? []), ...nodes])
      if (options.detach) return detach(io, options, config.name)
      await using run = startTraining(config, torchRuntime({ python: config.runtime.python }), {
        out: options.out === undefined ? undefined : resolve(io.cwd, options.out),
        resume,
        continue: options.continue,
        lockWaitSeconds: options.lockWait,
        onLockWait: (reason) => io.note(`waiting at most ${options.lockWait} s: ${reason}`),
        acceptChanges: options.acceptChanges,
        nodeRank: options.nodeRank,
        rendezvous: options.rendezvous,
        profile: options.profile,
        signal: io.signal,
      })
      const console = openConsoleReport({ note: io.note, color: io.color, stream: io.terminal })
      try {
        for await (const event of run) {
          if (options.output === 'ndjson') printLine(io, 'train', event)
          else console.show(event)
        }
      } finally {
        console.close()
      }
      const result = await run.result
      if (options.output !== 'ndjson')
        printResult(io, 'train', options.output, result, () => [
          `${result.outcome} at step ${result.step}: ${result.directory}`,
        ])
      if (result.outcome === 'stopped') io.exitWith(EXIT.stopped)
    })
}

const FLAGS = { nodes: '--nodes', nodeRank: '--node-rank', rendezvous: '--rendezvous' } as const

/** Start the same training in a background process. */
async function detach(io: CliIo, options: Options, name: string): Promise<void> {
  const { config, resume, set = [] } = options
  const directory = resolve(io.cwd, resume ?? options.out ?? join('runs', name, newRunId()))
  if (resume === undefined) await refuseExistingRun(directory)
  const source = config === undefined ? [] : ['--config', config]
  const argv = [
    ...source,
    resume === undefined ? '--out' : '--resume',
    directory,
    ...set.flatMap((one) => ['--set', one]),
    ...(options.acceptChanges ? ['--accept-changes'] : []),
    ...(options.profile ? ['--profile'] : []),
    ...(['nodes', 'nodeRank', 'rendezvous'] as const).flatMap((key) =>
      options[key] === undefined ? [] : [FLAGS[key], String(options[key])],
    ),
  ]
  const pid = await startDetached(argv, directory, io.cwd)
  printResult(io, 'train --detach', options.output, { directory, pid }, () => [
    `process ${pid} trains in ${directory}`,
    `\`freetumor runs attach ${quoted(directory)}\` prints its events`,
  ])
}
