import { describe, expect, test } from 'vitest'
import { runCli, startCli } from '../helpers/cli.js'
import { temporaryFolder } from '../helpers/temporary.js'

describe('freetumor', () => {
  test('prints its version', async () => {
    const done = await runCli(['--version'])
    expect(done).toMatchObject({ code: 0, stderr: '' })
    expect(done.stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  })

  test('puts help on stdout with an example first, for every command', async () => {
    const { stdout } = await runCli(['--help'])
    const commands = [...stdout.matchAll(/^ {2}([a-z]+) (?:\[|<|[a-z])/gm)].map((match) => match[1]!)
    const names = commands.filter((name) => name !== 'help' && name !== 'freetumor')
    expect(names).toEqual(expect.arrayContaining(['setup', 'doctor']))
    for (const name of names) {
      const help = await runCli([name, '--help'])
      expect(help).toMatchObject({ code: 0, stderr: '' })
      expect(help.stdout, name).toMatch(new RegExp(`^Examples?:\\n {2}\\$ freetumor ${name}`))
    }
  })

  test('prints nothing on stdout and exits with 2 after a usage error', async () => {
    const done = await runCli(['setup', '--veny', 'x'])
    expect(done).toMatchObject({ code: 2, stdout: '' })
    expect(done.stderr).toContain('--venv')
    expect(done.stderr).not.toContain('    at ')
  })

  test('ends quietly when the reader of its output is gone', async () => {
    const { child, finished } = startCli(['--help'], { cwd: temporaryFolder() })
    child.stdout!.destroy()
    expect(await finished).toMatchObject({ code: 0, stderr: '' })
  })
})
