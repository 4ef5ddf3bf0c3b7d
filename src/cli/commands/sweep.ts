import { resolve } from 'node:path'
import { InvalidArgumentError } from 'commander'
import { type Sweep, sweepLedger } from '../../pipeline/synthesize/sweep.js'
import type { SweepRow } from '../../quality/sweep.js'
import { printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'

interface Options {
  readonly config?: string
  readonly set?: string[]
  readonly thresholds?: readonly number[]
  readonly output: 'text' | 'json'
}

/** `freetumor sweep LEDGER`: compare thresholds and rules on recorded tumors. */
export const addSweepCommand: AddCommand = (program, io) => {
  withExample(
    program.command('sweep'),
    'freetumor sweep synthetic --thresholds 0.3,0.5,0.7',
    'freetumor sweep synthetic --set quality.rules.volumeMl.min=0.1 quality.rules.contrastHu.max=-15',
  )
    .description('Compare thresholds and rules on the tumors of a ledger')
    .argument('<ledger>', 'a ledger, or the folder of a run or of a synthetic data set')
    .option(
      '--thresholds <numbers>',
      'Compare these detected fractions, such as 0.3,0.5 (default: 0.1 to 0.9)',
      shares,
    )
    .option('--config <file>', 'Read the quality section of this configuration (default: that of the ledger)')
    .option('--set <quality.key=value...>', 'Replace values of that section')
    .addOption(outputOption())
    .action(async (ledger: string, { config, set, thresholds, output }: Options) => {
      const sweep = await sweepLedger({
        ledger: resolve(io.cwd, ledger),
        config,
        set,
        thresholds,
      })
      printResult(io, 'sweep', output, sweep, () => inWords(sweep))
    })
}

function shares(text: string): number[] {
  const values = text.split(',').map((one) => (one.trim() === '' ? Number.NaN : Number(one)))
  if (values.some((value) => !(value >= 0 && value <= 1)))
    throw new InvalidArgumentError('numbers from 0 to 1, such as 0.3,0.5')
  return values
}

function inWords({ asItStands, thresholds, hasBaseline }: Sweep): string[] {
  const kinds = asItStands.byKind.map(({ organ, size }) => `${organ} ${size}`)
  const line = (name: string, row: SweepRow): string =>
    [name.padEnd(10), counts(row.tries), counts(row.tumors), ...row.byKind.map(counts)].join('  ')
  return [
    ...(hasBaseline ? [] : ['no baseline judged these tumors: only rules make a difference']),
    ['threshold ', 'attempts'.padEnd(13), 'tumors'.padEnd(13), ...kinds.map((name) => name.padEnd(13))].join(
      '  ',
    ),
    ...thresholds.map((row) => line(String(row.threshold), row)),
    line('the policy', asItStands),
    `by reason  ${Object.entries(asItStands.reasons)
      .map(([reason, count]) => `${reason} ${count}`)
      .join(', ')}`,
  ]
}

function counts({ kept, of }: { readonly kept: number; readonly of: number }): string {
  return `${kept} of ${of}`.padEnd(13)
}
