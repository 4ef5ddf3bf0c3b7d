import { availableParallelism } from 'node:os'
import { Argument } from 'commander'
import { type ConfigCheck, type ConfigFinding, checkTraining } from '../../pipeline/train/check.js'
import { counted } from '../../plain-text.js'
import { torchRuntime } from '../../runtime/torch-runtime.js'
import { readConfig } from '../config-file.js'
import { type CliIo, paint, printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'
import { caseProgress } from '../progress.js'
import { withLogFolder } from '../stage-context.js'

interface Options {
  readonly set?: string[]
  readonly data: boolean
  readonly output: 'text' | 'json'
}

/** `freetumor config check FILE` */
export const addConfigCheck: AddCommand = (config, io) => {
  withExample(
    config.command('check'),
    'freetumor config check abdomen-segmentation.yaml',
    'freetumor config check configs/abdomen-baseline.yaml --no-data',
  )
    .description('Check a configuration, and the data and checkpoints that it names')
    .addArgument(new Argument('<file>', 'configuration file, or the name of a shipped configuration'))
    .option('--set <key=value...>', 'Replace values of the configuration')
    .option('--no-data', 'Check the configuration only; read no data and no checkpoint')
    .addOption(outputOption())
    .action(async (file: string, { set, data, output }: Options) => {
      const loaded = await readConfig(io, file, set)
      const runtime = torchRuntime({ python: loaded.runtime.python })
      const workers = Math.min(8, availableParallelism())
      const check = await withLogFolder(io, runtime, (context) =>
        checkTraining(loaded, context, { data, workers, onCase: caseProgress(io) }),
      )
      const { job, region } = loaded
      printResult(io, 'config check', output, { file, job, region, ...check }, () => inWords(io, file, check))
      const fault = check.findings.find(({ severity }) => severity === 'error')
      if (fault) io.exitWith(fault.exitCode!)
    })
}

function inWords(io: CliIo, file: string, { ok, data, cases, labels, findings }: ConfigCheck): string[] {
  const numbers =
    cases && labels
      ? `: ${counted(cases.labelled, 'labelled case')}, ${counted(cases.hosts, 'host')}, ${cases.heldOut} held out; ${labels.read} of ${labels.of} labels read`
      : ''
  const checked = {
    checked: `data checked${numbers}`,
    missing: 'data not found',
    skipped: 'data not checked',
  }
  const errors = findings.filter(({ severity }) => severity === 'error').length
  return [
    ...findings.flatMap((finding) => lines(io, finding)),
    ok ? `${file}: ok (${checked[data]})` : `${file}: ${errors} ${errors === 1 ? 'error' : 'errors'}`,
  ]
}

function lines(io: CliIo, { severity, message, hint }: ConfigFinding): string[] {
  const word = paint(io, severity === 'error' ? 'red' : 'yellow', `${severity}:`)
  return [`${word} ${message}`, ...(hint === null ? [] : [`hint: ${hint}`])]
}
