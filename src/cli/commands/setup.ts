import type { Command } from 'commander'
import { setUpRuntime } from '../../runtime/setup.js'
import { type CliIo, type OutputFormat, printResult } from '../output.js'
import { outputOption, withExample } from '../program.js'

/** `freetumor setup`: makes, reuses or adopts the Python runtime. */
export function addSetupCommand(program: Command, io: CliIo): void {
  const command = program
    .command('setup')
    .description('make the pinned Python runtime, or adopt an existing Python')
    .option('--python <path>', 'a Python that has the packages (it is adopted), or a bare one to build upon')
    .option('--venv <dir>', 'where the runtime is made, or a folder of one that you trust (default: .venv)')
    .option('--dev', "also what this repository's own tests need", false)
    .addOption(outputOption())
    .action(async (options: { python?: string; venv?: string; dev: boolean; output: OutputFormat }) => {
      const { output, ...rest } = options
      const done = await setUpRuntime({ ...rest, cwd: io.cwd, env: io.env, signal: io.signal, note: io.note })
      printResult(io, output, done, () => done.summary.split('\n'))
    })
  withExample(
    command,
    'freetumor setup',
    'freetumor setup --python /usr/bin/python3.11 --venv /data/freetumor-venv',
  )
}
