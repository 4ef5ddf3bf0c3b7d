import { Argument } from 'commander'
import { describe, expect, test } from 'vitest'
import { wholeNumber } from '../../src/cli/numbers.js'
import { printResult } from '../../src/cli/output.js'
import { type AddCommand, outputOption, runProgram, withExample } from '../../src/cli/program.js'
import { DataError, StoppedError, UsageError } from '../../src/errors.js'
import type { StopSignal } from '../../src/stop-signals.js'
import { memoryIo } from '../helpers/cli.js'

function throwing(error: unknown): AddCommand {
  return (program) => {
    program.command('act').action(() => {
      throw error
    })
  }
}

describe('the exit code', () => {
  test('is the one of the error', async () => {
    expect(await runProgram([throwing(new DataError('x'))], ['act'], memoryIo())).toBe(3)
    expect(await runProgram([throwing(new StoppedError('x'))], ['act'], memoryIo())).toBe(75)
  })

  test('is 1 for an unexpected error', async () => {
    expect(await runProgram([throwing(new TypeError('x'))], ['act'], memoryIo())).toBe(1)
  })

  test('is the one a command asked for', async () => {
    const add: AddCommand = (program, io) => void program.command('act').action(() => io.exitWith(6))
    expect(await runProgram([add], ['act'], memoryIo())).toBe(6)
  })

  test('is 2 for a command line that cannot be understood, and 0 for --help and --version', async () => {
    const add: AddCommand = (program) => void program.command('act').action(() => {})
    const codeOf = (...argv: string[]) => runProgram([add], argv, memoryIo())
    expect(await codeOf('atc')).toBe(2)
    expect(await codeOf('act', '--colour')).toBe(2)
    expect(await codeOf()).toBe(2)
    expect(await codeOf('--help')).toBe(0)
    expect(await codeOf('act', '--help')).toBe(0)
    expect(await codeOf('--version')).toBe(0)
  })

  test('is 130 or 143 when a signal ended a command that has nothing to resume', async () => {
    const aborted = new DOMException('aborted', 'AbortError')
    const codeAfter = (signal: StopSignal) =>
      runProgram([throwing(aborted)], ['act'], memoryIo({ interruptedBy: signal }))
    expect(await codeAfter('SIGINT')).toBe(130)
    expect(await codeAfter('SIGTERM')).toBe(143)
  })
})

describe('an empty word', () => {
  const add: AddCommand = (program, io) => {
    program
      .command('act')
      .argument('<file>', 'file')
      .argument('[words...]', 'words of another program')
      .option('--out <dir>', 'folder')
      .option('--more <word...>', 'words of another program')
      .action(() => io.print('done'))
  }

  test.each([
    [['act', ''], 'act: file: empty value'],
    [['act', 'a', '--out', ''], 'act: --out: empty value'],
    [['act', 'a', '--out='], 'act: --out: empty value'],
  ])('is refused, because an empty path is the working directory: %j', async (argv, message) => {
    const io = memoryIo()
    expect(await runProgram([add], argv, io)).toBe(2)
    expect(io.stderr.join('\n')).toContain(message)
    expect(io.stdout).toEqual([])
  })

  test('is given to another program', async () => {
    const io = memoryIo()
    expect(await runProgram([add], ['act', 'a', '', '--more', '', 'b'], io)).toBe(0)
  })
})

describe('the message of an error', () => {
  test('is its message and its hint on stderr, without a stack', async () => {
    const io = memoryIo()
    await runProgram([throwing(new DataError('a.nii is cut off', { hint: 'copy it again' }))], ['act'], io)
    expect(io.stderr).toEqual(['error: a.nii is cut off', 'hint: copy it again'])
    expect(io.stdout).toEqual([])
  })

  test('of a bug is one line and where to report it; the stack only when asked for', async () => {
    const quiet = memoryIo()
    await runProgram([throwing(new TypeError('x is undefined\nmore'))], ['act'], quiet)
    expect(quiet.stderr).toEqual([
      'error: TypeError: x is undefined',
      'hint: this is a bug in freetumor; FREETUMOR_DEBUG=1 prints the stack',
    ])
    const loud = memoryIo({ env: { FREETUMOR_DEBUG: '1' } })
    await runProgram([throwing(new TypeError('x is undefined'))], ['act'], loud)
    expect(loud.stderr.join('\n')).toContain('program.test.ts')
  })

  test('of a mistyped command or option proposes the right one', async () => {
    const io = memoryIo()
    const add: AddCommand = (program) => void program.command('evaluate').action(() => {})
    await runProgram([add], ['evalute'], io)
    expect(io.stderr[0]).toBe("error: unknown command 'evalute' (Did you mean evaluate?)")
  })

  const data: AddCommand = (program) => {
    const group = program.command('data')
    group
      .command('check')
      .addArgument(new Argument('<kind>', 'kind').choices(['scan', 'list']))
      .option('--workers <n>', 'Set', wholeNumber(1))
      .option('--map <map>', 'Map')
      .action(({ map }) => {
        throw new UsageError('--map: invalid pair', { hint: 'correct the map', facts: { map } })
      })
  }

  test.each([
    [
      ['data', 'check', 'scan', '--workers', 'no'],
      '--workers: wrong value (expected a whole number of at least 1, found no)',
    ],
    [['data', 'check', 'cat'], 'kind: wrong value (expected one of scan, list, found cat)'],
    [['data', 'check'], "missing required argument 'kind'"],
    [['data', 'check', 'scan', '--wokers', '1'], "unknown option '--wokers' (Did you mean --workers?)"],
  ])('of %j names the help of the subcommand', async (argv, message) => {
    const io = memoryIo()
    expect(await runProgram([data], argv, io)).toBe(2)
    expect(io.stderr).toEqual([
      `error: data check: ${message}`,
      'hint: `freetumor data check --help` lists the arguments and options',
    ])
  })

  test('of an option that the action refuses names the help of the subcommand, too', async () => {
    const io = memoryIo()
    await runProgram([data], ['data', 'check', 'scan'], io)
    expect(io.stderr).toEqual([
      'error: --map: invalid pair',
      'hint: correct the map',
      'help: `freetumor data check --help`',
    ])
  })

  test('of an unknown subcommand names the help of its group', async () => {
    const io = memoryIo()
    await runProgram([data], ['data', 'chek'], io)
    expect(io.stderr).toEqual([
      "error: data: unknown command 'chek' (Did you mean check?)",
      'hint: `freetumor data --help` lists the commands',
    ])
  })
})

describe('the output', () => {
  const add: AddCommand = (program, io) => {
    withExample(program.command('act'), 'freetumor act --output json')
      .addOption(outputOption(['text', 'json', 'ndjson']))
      .action(({ output }) => printResult(io, 'init', output, { file: 'a.yaml' }, () => ['wrote a.yaml']))
  }

  test('is text, JSON or one line of JSON, as asked for', async () => {
    const outputOf = async (...argv: string[]) => {
      const io = memoryIo()
      await runProgram([add], ['act', ...argv], io)
      return io.stdout
    }
    expect(await outputOf()).toEqual(['wrote a.yaml'])
    expect(await outputOf('--output', 'json')).toEqual(['{\n  "schemaVersion": 1,\n  "file": "a.yaml"\n}'])
    expect(await outputOf('--output', 'ndjson')).toEqual(['{"schemaVersion":1,"file":"a.yaml"}'])
  })

  test('refuses a format that the command does not support', async () => {
    const io = memoryIo()
    expect(await runProgram([add], ['act', '--output', 'xml'], io)).toBe(2)
    expect(io.stderr[0]).toBe(
      'error: act: --output: wrong value (expected one of text, json, ndjson, found xml)',
    )
  })

  test('of --help opens with an example', async () => {
    const io = memoryIo()
    await runProgram([add], ['act', '--help'], io)
    expect(io.stdout.join('\n')).toMatch(/^Example:\n {2}\$ freetumor act --output json\n+Usage:/)
  })
})
