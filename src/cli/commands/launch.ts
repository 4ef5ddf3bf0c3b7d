import { resolve } from 'node:path'
import { EXIT } from '../../errors.js'
import { startLaunch } from '../../pipeline/launch/run.js'
import { counted } from '../../plain-text.js'
import { scriptRunner } from '../../runtime/script.js'
import type { Launch, LaunchEvent } from '../../training/launch.js'
import { positiveNumber, wholeNumber } from '../numbers.js'
import { type CliIo, printLine, printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'

interface Options {
  readonly processes: number
  readonly nodes: number
  readonly nodeRank: number
  readonly rendezvous?: string
  readonly module?: boolean
  readonly out?: string
  readonly python?: string
  readonly threads: number
  readonly restarts: number
  readonly backoffSeconds: number
  readonly hangSeconds?: number
  readonly heartbeat?: string
  readonly stopSeconds: number
  readonly output: 'text' | 'json' | 'ndjson'
}

/** `freetumor launch -- SCRIPT ARGS...`: run a torchrun script of the user under supervision. */
export const addLaunchCommand: AddCommand = (program, io) => {
  withExample(
    program.command('launch'),
    'freetumor launch --processes 2 -- my_train.py --epochs 10',
    'freetumor launch --processes 8 --restarts 3 --hang-seconds 900 -- my_train.py',
  )
    .description('Run your own torchrun script, with logs per rank and failure cards')
    .argument('<script>', 'Python file; all words after it are its arguments')
    .argument('[args...]', 'arguments of the script')
    .option('--processes <n>', 'Set the number of ranks on this node', wholeNumber(1), 1)
    .option('--nodes <n>', 'Set the number of nodes; the same command runs on each', wholeNumber(1), 1)
    .option('--node-rank <r>', 'Set the number of this node, from 0', wholeNumber(0), 0)
    .option('--rendezvous <host:port>', 'Set the rendezvous: an address of node 0')
    .option('--module', 'Run SCRIPT as a module, like `python -m`')
    .option('--out <dir>', 'Set the folder of logs, events and exit.json (default: runs/SCRIPT/ID)')
    .option('--python <path>', 'Use this Python (default: the Python that commands use)')
    .option('--threads <n>', 'Set OMP_NUM_THREADS of each rank', wholeNumber(1), 1)
    .option('--restarts <n>', 'Restart after a failure, at most N times', wholeNumber(0), 0)
    .option(
      '--backoff-seconds <s>',
      'Wait S seconds before the first restart, twice as long before each later one',
      positiveNumber,
      5,
    )
    .option('--hang-seconds <s>', 'Stop a script that prints nothing for S seconds', positiveNumber)
    .option('--heartbeat <file>', 'Detect a hang by the modification time of this file, not by output')
    .option('--stop-seconds <s>', 'Wait S seconds for the script to exit after a stop', wholeNumber(0), 30)
    .addOption(outputOption(['text', 'json', 'ndjson']))
    .action(async (script: string, args: string[], options: Options) => {
      const { processes, restarts, backoffSeconds, out, output, ...rest } = options
      await using launch = startLaunch(
        {
          ...rest,
          script,
          args,
          processesPerNode: processes,
          restarts: { max: restarts, backoffSeconds },
          out: out === undefined ? undefined : resolve(io.cwd, out),
          cwd: io.cwd,
          signal: io.signal,
        },
        scriptRunner,
      )
      for await (const event of launch) show(io, output, event)
      await conclude(io, output, launch)
    })
}

function show(io: CliIo, output: Options['output'], event: LaunchEvent): void {
  // with --output json, stdout holds only the result
  const print = output === 'json' ? io.note : io.print
  if (output === 'ndjson') printLine(io, 'launch', event)
  else if (event.type === 'output') {
    if (event.missed > 0) print(`(${counted(event.missed, 'line', ['is', 'are'])} only in the log)`)
    print(`[${event.rank}] ${event.text}`)
  } else if (event.type === 'started')
    io.note(`started ${event.script} with ${counted(event.worldSize, 'rank')}; logs in ${event.logs}`)
  else if (event.type === 'restart')
    io.note(`${event.reason}: attempt ${event.attempt + 1} starts in ${event.afterSeconds} s`)
}

async function conclude(io: CliIo, output: Options['output'], launch: Launch): Promise<void> {
  const result = await launch.result
  if (output === 'json') printResult(io, 'launch', output, result, () => [])
  else if (output === 'text') io.note(`${result.outcome}: ${result.reason}; ${result.directory}`)
  if (result.outcome === 'stopped') io.exitWith(EXIT.stopped)
}
