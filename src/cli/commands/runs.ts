import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { onAbort } from '../../abort.js'
import { EXIT, UsageError } from '../../errors.js'
import { holderInWords, howToEnd } from '../../pipeline/locks.js'
import { followJob } from '../../pipeline/runs/follow.js'
import { knownJob } from '../../pipeline/runs/job-state.js'
import { findRun, summariseRuns, summaryOfRun } from '../../pipeline/runs/list.js'
import { jobInWords, readSubmission } from '../../pipeline/runs/submission.js'
import { stopJob } from '../../pipeline/submit/submitted-run.js'
import { oneLine, quoted } from '../../plain-text.js'
import { openConsoleReport } from '../../report/console.js'
import { lockHolders } from '../../runtime/directory-lock.js'
import {
  type ControlledRun,
  connectRun,
  controlledProcesses,
  controlRun,
  runProcesses,
} from '../../runtime/run-service.js'
import { slurm } from '../../runtime/slurm.js'
import { readEvents } from '../../training/event-log.js'
import type { RunEvent } from '../../training/events.js'
import { readExit } from '../../training/run-directory.js'
import type { QueuedJob, RunSummary } from '../../training/run-summary.js'
import { noteDicom } from '../dicom-arguments.js'
import { type CliIo, printLine, printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'
import { addSyncCommand } from './runs-sync.js'

type Format = { readonly output: 'text' | 'json' | 'ndjson' }

/** `freetumor runs`: list runs, and control those of other processes. */
export const addRunsCommand: AddCommand = (program, io) => {
  const runs = withExample(
    program.command('runs'),
    'freetumor runs list',
    'freetumor runs set runs/debug-baseline/20261123T101500Z-1a2b learningRate=5e-5',
  ).description('List, follow, pause and stop trainings')

  runs
    .command('list')
    .description('List the runs below a folder, newest last')
    .argument('[folder]', 'folder that contains runs, at most three levels deep', 'runs')
    .addOption(outputOption())
    .action(async (root: string, options: Format) => {
      const found = await summariseRuns(resolve(io.cwd, root), runProcesses)
      if (found.length === 0) await noteDicom(root, io)
      printResult(io, 'runs list', options.output, { runs: found }, () =>
        found.length > 0 ? found.map(line) : [`no run below ${root}`],
      )
    })

  ofRun(runs, 'show', 'Show state, losses and commands of a run')
    .addOption(outputOption())
    .action(async (run: string, options: Format) => {
      const summary = await summaryOfRun(await findRun(run, io.cwd), runProcesses)
      printResult(io, 'runs show', options.output, summary, () => paragraph(summary))
    })

  ofRun(runs, 'attach', 'Print the events of a run until it ends; Ctrl-C does not stop the run')
    .addOption(outputOption(['text', 'ndjson']))
    .action(async (run: string, options: Format) => attach(io, await findRun(run, io.cwd), options))

  const commands: readonly [string, string, (remote: ControlledRun) => Promise<number>][] = [
    ['pause', 'Pause before the next step until `unpause`', (remote) => remote.pause()],
    ['unpause', 'Continue a paused run', (remote) => remote.unpause()],
    ['checkpoint', 'Save a checkpoint before the next step', (remote) => remote.checkpoint()],
    [
      'stop',
      'Save a checkpoint and stop; `train --resume RUN` resumes',
      (remote) => remote.stop('freetumor runs stop'),
    ],
  ]
  for (const [name, description, act] of commands)
    ofRun(runs, name, description)
      .addOption(outputOption())
      .action(async (run: string, options: Format) => {
        const step = name === 'stop' ? await stopped(io, run, act) : await controlled(io, run, act)
        printResult(io, 'runs pause|unpause|checkpoint|stop', options.output, { command: name, step }, () => [
          `${name}: from step ${step} on`,
        ])
      })

  ofRun(runs, 'set', 'Set the learning rate from the next step on')
    .argument('<learningRate=value>', 'new learning rate, such as learningRate=5e-5')
    .addOption(outputOption())
    .action(async (run: string, assignment: string, options: Format) => {
      const value = learningRateOf(assignment)
      const step = await controlled(io, run, (remote) => remote.setLearningRate(value))
      const result = { command: 'setLearningRate', value, step } as const
      printResult(io, 'runs set', options.output, result, () => [
        `learning rate ${value} from step ${step} on`,
      ])
    })

  addSyncCommand(runs, io)
}

function ofRun(runs: Command, name: string, description: string): Command {
  return withExample(
    runs.command(name),
    `freetumor runs ${name} runs/first${name === 'set' ? ' learningRate=5e-5' : ''}`,
  )
    .description(description)
    .argument('<run>', 'run directory, or its name if it is below runs/')
}

function learningRateOf(assignment: string): number {
  const [key, text] = assignment.split('=')
  const value = Number(text)
  if (key !== 'learningRate' || !text || !(value > 0))
    throw new UsageError(`runs set: wrong assignment (expected learningRate=NUMBER, found ${assignment})`, {
      hint: 'write learningRate=5e-5',
    })
  return value
}

/** Stop a run; a job that waits in the queue of a cluster is cancelled. */
async function stopped(
  io: CliIo,
  run: string,
  act: (remote: ControlledRun) => Promise<number>,
): Promise<number> {
  const directory = await findRun(run, io.cwd)
  const submission = await readSubmission(directory)
  // the queue of Kubernetes belongs to kubectl
  if (submission?.scheduler !== 'slurm') return await controlled(io, run, act)
  return await stopJob({ id: submission.id, directory }, 'freetumor runs stop', slurm, controlledProcesses)
}

async function controlled(
  io: CliIo,
  run: string,
  act: (remote: ControlledRun) => Promise<number>,
): Promise<number> {
  const directory = await findRun(run, io.cwd)
  const remote = await controlRun(directory)
  if (!remote) throw await notControllable(directory)
  try {
    return await act(remote)
  } finally {
    remote.close()
  }
}

async function notControllable(directory: string): Promise<UsageError> {
  const holder = (await lockHolders([directory])).get(directory)
  if (holder)
    return new UsageError(
      `${directory} is being trained by ${holderInWords(holder)}, which does not answer`,
      {
        hint: `run this command on the machine and in the container of that process; ${howToEnd(holder)}`,
      },
    )
  return new UsageError(
    `${directory}: not running (${stateInWords(await summaryOfRun(directory, runProcesses))})`,
    {
      hint: `\`freetumor train --resume ${quoted(directory)}\` resumes it`,
    },
  )
}

async function attach(io: CliIo, directory: string, options: Format): Promise<void> {
  io.endWithReader()
  const submitted = await readSubmission(directory)
  // the end of a job of Kubernetes is in the files of the run
  const submission = submitted?.scheduler === 'slurm' ? submitted : null
  const console = openConsoleReport({ note: io.note, color: io.color, stream: io.terminal })
  const show = (event: RunEvent): void =>
    options.output === 'ndjson' ? printLine(io, 'runs attach', event) : console.show(event)
  const remote = submission === null ? await connectRun(directory) : null
  if (!remote && submission === null && (await lockHolders([directory])).size > 0)
    throw await notControllable(directory)
  // a paused run sends no event: closing the connection ends the wait
  const release = onAbort(io.signal, () => remote?.close())
  try {
    // a job may start several times
    const events =
      submission === null
        ? (remote ?? readEvents(join(directory, 'events.jsonl')))
        : followJob(directory, () => knownJob(directory, submission), runProcesses, io.signal)
    for await (const event of events) {
      if (io.signal.aborted) break
      show(event)
    }
  } catch (error) {
    // the signal closed the connection
    if (!io.signal.aborted) throw error
  } finally {
    release()
    console.close()
    remote?.close()
  }
  if (io.signal.aborted) return io.note(`${directory} is still running; \`freetumor runs stop\` ends it`)
  const exit = await readExit(directory)
  if (exit) return io.exitWith(exit.exitCode)
  if (!submission?.array) return
  const { queue } = await summaryOfRun(directory, runProcesses)
  if (queue === null) return
  for (const text of jobLines(queue)) io.note(text)
  if (queue.state !== 'completed') io.exitWith(EXIT.failure)
}

function line(run: RunSummary): string {
  const cells = [run.directory, ...(run.job === null ? [] : [run.job]), stateInWords(run)]
  if (run.tumorDice !== null) cells.push(`tumor Dice ${run.tumorDice.toFixed(3)}`)
  return cells.map(oneLine).join('  ')
}

function stateInWords(run: RunSummary): string {
  const at = `step ${run.step}${run.steps === null ? '' : `/${run.steps}`}`
  if (run.state === 'broken') return `broken: ${run.reason}`
  if (run.state === 'unresponsive') return `running at ${at}, not answering (${run.reason})`
  if (run.queue?.shards) return `${run.queue.state} (${run.queue.reason})`
  if (run.queue?.state === 'submitted' && run.state === 'pending')
    return `submitted to Kubernetes, at ${at} (${run.queue.reason})`
  if (run.state === 'pending') return `pending${run.reason === null ? '' : ` (${run.reason})`} at ${at}`
  if (run.state === 'died') return `ended at ${at} without exit.json (killed?)`
  return run.state === 'failed' ? `failed at ${at}: ${run.reason}` : `${run.state} at ${at}`
}

function jobLines(queue: QueuedJob): string[] {
  const again = queue.shards?.again ?? null
  return [`  job          ${jobInWords(queue)}`, ...(again === null ? [] : [`  again        ${again}`])]
}

function paragraph(run: RunSummary): string[] {
  const losses = Object.entries(run.losses).map(([name, value]) => `${name} ${value.toPrecision(3)}`)
  return [
    `${run.name}${run.job === null ? '' : ` (${run.job})`}: ${stateInWords(run)}`,
    `  directory    ${run.directory}`,
    ...(run.queue ? jobLines(run.queue) : []),
    ...(run.begun ? [`  started      ${run.begun}`] : []),
    ...(losses.length
      ? [`  losses       ${losses.join('  ')}  at learning rate ${run.learningRate?.toPrecision(3)}`]
      : []),
    ...(run.tumorDice === null
      ? []
      : [`  best         tumor Dice ${run.tumorDice.toFixed(3)} at step ${run.bestStep}`]),
    ...(run.checkpoint ? [`  checkpoint   ${run.checkpoint}`] : []),
    ...run.commands.map((command) => `  command      ${command}`),
  ]
}
