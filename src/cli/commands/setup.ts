import { type Command, Option } from 'commander'
import { EXTRAS, type RuntimeExtra } from '../../runtime/requirements.js'
import { setUpRuntime } from '../../runtime/setup.js'
import { type CliIo, type OutputFormat, printResult } from '../output.js'
import { outputOption, withExample } from '../program.js'

interface SetupFlags {
  readonly python?: string
  readonly venv?: string
  readonly dev: boolean
  readonly extra?: RuntimeExtra[]
  readonly output: OutputFormat
}

/** `freetumor setup`: install, reuse or adopt the Python runtime. */
export function addSetupCommand(program: Command, io: CliIo): void {
  const command = program
    .command('setup')
    .description('Install the pinned Python runtime, or adopt an existing Python')
    .option(
      '--python <path>',
      'Adopt this Python if it has the packages; otherwise install them into a runtime that uses it',
    )
    .option('--venv <dir>', 'Set the folder of the runtime; an existing one must be yours (default: .venv)')
    .option('--dev', 'Install the packages of the tests in addition', false)
    .addOption(
      new Option('--extra <name...>', 'Install an optional part in addition').choices(Object.keys(EXTRAS)),
    )
    .addOption(outputOption())
    .action(async (options: SetupFlags) => {
      const { output, extra: extras = [], ...rest } = options
      const done = await setUpRuntime({
        ...rest,
        extras,
        cwd: io.cwd,
        env: io.env,
        signal: io.signal,
        note: io.note,
      })
      printResult(io, 'setup', output, done, () => done.summary.split('\n'))
    })
  withExample(
    command,
    'freetumor setup',
    'freetumor setup --extra dicom',
    'freetumor setup --python /usr/bin/python3.11 --venv /data/freetumor-venv',
  )
}
