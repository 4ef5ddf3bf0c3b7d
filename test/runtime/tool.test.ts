import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import type { ToolCall } from '../../src/pipeline/ports/tool.js'
import { resolvePython } from '../../src/runtime/python.js'
import { toolRunner } from '../../src/runtime/tool.js'
import { standInTools } from '../helpers/stand-in-tools.js'
import { temporaryFolder } from '../helpers/temporary.js'
import { until } from '../helpers/until.js'

const TOOL = {
  program: 'TotalSegmentator',
  module: 'totalsegmentator.bin.TotalSegmentator',
  distribution: 'TotalSegmentator',
}

let folder: string
beforeEach(() => {
  folder = temporaryFolder()
})

function run(script: string, more: Partial<ToolCall> = {}) {
  return toolRunner.run({
    argv: ['/bin/sh', '-c', script],
    directory: folder,
    limitSeconds: 60,
    log: join(folder, 'tool.log'),
    signal: undefined,
    ...more,
  })
}

describe('find', () => {
  test('finds the program next to the named Python, with the version of its package', async () => {
    const python = standInTools(folder, '2.4.0')
    expect(await toolRunner.find(TOOL, python)).toEqual({
      argv: [join(folder, 'bin/TotalSegmentator')],
      version: '2.4.0',
    })
  })

  test('finds the program on PATH, and its Python by its first line', async () => {
    const python = standInTools(folder, '1.5.7')
    vi.stubEnv('PATH', `${dirname(python)}:${process.env.PATH}`)
    expect(await toolRunner.find(TOOL, null)).toEqual({
      argv: [join(folder, 'bin/TotalSegmentator')],
      version: '1.5.7',
    })
  })

  test('runs the module of a package without its command', async () => {
    const python = standInTools(folder)
    const other = join(folder, 'python-only')
    mkdirSync(other)
    symlinkSync(python, join(other, 'python'))
    const tool = { program: 'no-such-command', module: 'json.tool', distribution: 'no-such-package' }
    expect(await toolRunner.find(tool, join(other, 'python'))).toEqual({
      argv: [join(other, 'python'), '-m', 'json.tool'],
      version: null,
    })
  })

  test.each([
    ['no/python', '--tool-python: no/python: Python not found'],
    [null, 'TotalSegmentator: program not found on PATH'],
  ])('refuses %s', async (python, message) => {
    vi.stubEnv('PATH', '/usr/bin:/bin')
    await expect(toolRunner.find(TOOL, python)).rejects.toMatchObject({ code: 'environment', message })
  })

  test('refuses the Python of freetumor, whose packages are pinned', async () => {
    await expect(toolRunner.find(TOOL, resolvePython())).rejects.toMatchObject({
      code: 'environment',
      message: 'TotalSegmentator: needs an environment of its own (found that of freetumor)',
    })
  })
})

describe('run', () => {
  test('returns the exit code and the last lines, without control characters', async () => {
    const end = await run('printf "a\\033[31m\\rb"; echo c >&2; exit 7')
    expect(end).toMatchObject({ code: 7, signal: null, timedOut: false })
    expect(readFileSync(join(folder, 'tool.log'), 'utf8')).toContain('a\\u001b[31m\nb')
    expect(end.tail).toContain('c')
  })

  test('passes arguments as they are, without a shell', async () => {
    const argv = ['/bin/sh', '-c', 'printf "%s|" "$@"', 'sh', '$HOME', '`id`', 'a b', '*']
    expect((await run('', { argv })).tail).toBe('$HOME|`id`|a b|*|')
  })

  test('hides variables of freetumor and of its Python from the tool', async () => {
    vi.stubEnv('FREETUMOR_TOKEN', 'secret')
    vi.stubEnv('PYTHONPATH', '/somewhere')
    vi.stubEnv('TOTALSEG_WEIGHTS_PATH', '/weights')
    const { tail } = await run('env')
    expect(tail).not.toMatch(/FREETUMOR_TOKEN|PYTHONPATH/)
    expect(tail).toContain('TOTALSEG_WEIGHTS_PATH=/weights')
  })

  test('kills the tool and processes in sessions of their own after the limit', async () => {
    const end = await run('setsid sh -c "echo \\$\\$ > other; exec sleep 600" & echo $$ > own; sleep 600', {
      limitSeconds: 1,
    })
    expect(end).toMatchObject({ timedOut: true, signal: 'SIGKILL' })
    for (const name of ['own', 'other']) expect(isAlive(join(folder, name))).toBe(false)
  })

  test('leaves no process of a tool that ended', async () => {
    await run('setsid sh -c "echo \\$\\$ > other; exec sleep 600" & while [ ! -s other ]; do :; done')
    // a killed process leaves the table a moment later
    await until(() => !isAlive(join(folder, 'other')))
  })

  test('kills the tool when the signal aborts', async () => {
    const controller = new AbortController()
    const running = run('echo $$ > own; sleep 600', { signal: controller.signal })
    await until(() => existsSync(join(folder, 'own')) && statSync(join(folder, 'own')).size > 0)
    controller.abort(new Error('stop'))
    await expect(running).rejects.toThrow('stop')
    await until(() => !isAlive(join(folder, 'own')))
  })

  test('keeps at most 1 MiB of the output', async () => {
    const { tail } = await run('head -c 5000000 /dev/zero | tr "\\0" x; echo end')
    expect(statSync(join(folder, 'tool.log')).size).toBeLessThan(1.3 * 2 ** 20)
    expect(tail).toMatch(/end\n$/)
  })
})

function isAlive(file: string): boolean {
  try {
    const state = readFileSync(`/proc/${readFileSync(file, 'utf8').trim()}/stat`, 'utf8')
    return !/\) Z /.test(state)
  } catch {
    return false
  }
}
