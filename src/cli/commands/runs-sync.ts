import { join } from 'node:path'
import type { Command } from 'commander'
import { loadConfig } from '../../config/load.js'
import { RECORD } from '../../config/paths.js'
import { findRun } from '../../pipeline/runs/list.js'
import { sendRun } from '../../pipeline/train/tracking.js'
import { counted } from '../../plain-text.js'
import { torchRuntime } from '../../runtime/torch-runtime.js'
import type { Sent } from '../../tracking/feed.js'
import { type CliIo, type OutputFormat, printResult } from '../output.js'
import { outputOption, withExample } from '../program.js'

interface SyncFlags {
  readonly set?: string[]
  readonly output: OutputFormat
}

/** `freetumor runs sync`: send the figures of an ended run that its trackers do not have. */
export function addSyncCommand(runs: Command, io: CliIo): void {
  withExample(
    runs.command('sync'),
    'freetumor runs sync runs/first',
    'freetumor runs sync runs/first --set tracking.mlflow=http://127.0.0.1:5000',
  )
    .description('Send the figures of an ended run that its trackers lack')
    .argument('<run>', 'run directory, or its name if it is below runs/')
    .option('--set <key=value...>', 'Replace values of the configuration')
    .addOption(outputOption())
    .action(async (named: string, { set = [], output }: SyncFlags) => {
      const directory = await findRun(named, io.cwd)
      const config = await loadConfig(join(directory, RECORD), {
        set,
        onNote: (text) => io.note(`note: ${text}`),
      })
      const runtime = torchRuntime({ python: config.runtime.python })
      const sent = await sendRun(directory, config, { runtime, signal: io.signal, note: io.note })
      const trackers = sent.map(({ failure, ...rest }) => ({ ...rest, failure: failure?.message ?? null }))
      printResult(io, 'runs sync', output, { directory, trackers }, () => sent.map(lineOf))
      const failed = sent.find(({ failure }) => failure !== null)
      if (failed) throw failed.failure
    })
}

function lineOf({ tracker, run, values, step }: Sent): string {
  const reached = step < 0 ? 'no step' : `up to step ${step}`
  return `${tracker}: ${counted(values, 'value')} sent, ${reached}${run === null ? '' : `, run ${run}`}`
}
