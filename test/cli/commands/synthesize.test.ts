import { describe, expect, it } from 'vitest'
import { runCli } from '../../helpers/cli.js'
import { temporaryFolder } from '../../helpers/temporary.js'

describe('freetumor synthesize --weights', () => {
  it.each([
    ['student', [], '--weights student: no file to select from (expected --baseline, too)'],
    [
      'generator=ema',
      ['--baseline', 'b.pt'],
      '--weights generator=ema: no file to select from (expected --generator, too)',
    ],
    ['baseline=', ['--baseline', 'b.pt'], '--weights baseline=: no name (expected baseline=NAME)'],
  ])('refuses %s without a name, or without a file to select from', async (word, more, message) => {
    const argv = ['synthesize', '--out', 'out', '--images', 'hosts', ...more, '--weights', word]
    const refused = await runCli(argv, { cwd: temporaryFolder() })
    expect(refused).toMatchObject({ code: 2, stdout: '' })
    expect(refused.stderr).toContain(message)
  })
})
