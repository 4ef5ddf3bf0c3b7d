import type { Command } from 'commander'
import { EXIT } from '../../errors.js'
import type { PluginCheck } from '../../pipeline/ports/plugin.js'
import { checkPlugin } from '../../runtime/plugin.js'
import { wholeNumber } from '../numbers.js'
import { type CliIo, type OutputFormat, printResult } from '../output.js'
import { type PluginLimits, pluginOfWords } from '../plugin-words.js'
import { outputOption, withExample } from '../program.js'

interface Options extends PluginLimits {
  readonly python?: string
  readonly output: OutputFormat
}

/** `freetumor plugin`: work with plug-ins. */
export function addPluginCommand(program: Command, io: CliIo): void {
  const plugin = program
    .command('plugin')
    .description('Check programs that synthesize tumors or segment scans (docs/plugins.md)')
  withExample(
    plugin.command('check'),
    'freetumor plugin check --python ../env/bin/python -- ./diffusion.py --weights weights.pt',
    'freetumor plugin check my-segmentor --output json',
  )
    .description('Start a plug-in, send it phantoms and check its answers; exit 3 if a check fails')
    .argument('<command...>', 'Words of its command line; write -- before words that start with -')
    .option('--python <path>', 'Run the words with this Python')
    .option('--start-timeout <s>', 'Set the time limit for its start (default: 60)', wholeNumber(1))
    .option('--request-timeout <s>', 'Set the time limit for an answer (default: 120)', wholeNumber(1))
    .addOption(outputOption())
    .action(async (words: string[], options: Options) => {
      const spec = pluginOfWords(words, options.python, io.cwd, options)
      const check = await checkPlugin(spec, { signal: io.signal })
      printResult(io, 'plugin check', options.output, check, () => inWords(check))
      if (!check.ok) io.exitWith(EXIT.data)
    })
}

function inWords({ plugin, checks, requestSeconds }: PluginCheck): string[] {
  const failed = checks.filter(({ ok }) => !ok).length
  const times = Object.entries(requestSeconds).filter(([, seconds]) => seconds !== null)
  return [
    ...(plugin === null
      ? []
      : [
          `${plugin.name} ${plugin.version}, licence ${plugin.licence}, program sha256 ${plugin.sha256 ?? 'none'}`,
        ]),
    ...checks.map(
      ({ id, ok, detail, seconds }) =>
        `${ok ? 'pass' : 'FAIL'}  ${id.padEnd(24)} ${`${(seconds * 1000).toFixed(0)} ms`.padStart(9)}  ${detail}`,
    ),
    ...times.map(
      ([kind, seconds]) => `${kind}: ${((seconds ?? 0) * 1000).toFixed(1)} ms per request (median)`,
    ),
    failed === 0 ? `all ${checks.length} checks passed` : `${failed} of ${checks.length} checks failed`,
  ]
}
