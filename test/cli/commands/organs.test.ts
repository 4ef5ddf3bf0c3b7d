import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { allCommands } from '../../../src/cli/commands/all.js'
import { runProgram } from '../../../src/cli/program.js'
import { memoryIo } from '../../helpers/cli.js'
import { temporaryFolder } from '../../helpers/temporary.js'

async function run(...argv: readonly string[]) {
  const folder = temporaryFolder()
  const io = memoryIo({ cwd: folder })
  const code = await runProgram(await allCommands(), argv, io)
  return { code, stderr: io.stderr.join('\n'), wrote: existsSync(join(folder, 'out')) }
}

const organs = (...more: readonly string[]) => run('organs', '--images', 'scans', '--out', 'out', ...more)

describe('freetumor organs', () => {
  test.each<[string[], string]>([
    [['--with', 'totalseg'], '--with: unknown tool (found totalseg)'],
    [['--with', 'totalsegmentator', 'fast'], '--with totalsegmentator: unexpected word (found fast)'],
    [['--with', 'checkpoint'], '--with checkpoint: no file after it'],
    [['--with', 'command'], '--with command: no command after it'],
    [['--with', 'command', 'a', 'b'], '--with: too many words (found command a b)'],
    [['--with', 'lungmask', '--region', 'abdomen'], 'lungmask: labels no organ of the abdomen'],
    [['--with', 'command', 'tool {image}'], '--with command: no {output} in it'],
  ])('refuses %j', async (flags, message) => {
    const { code, stderr, wrote } = await organs(...flags)
    expect(code).toBe(2)
    expect(stderr).toContain(message)
    expect(stderr).toContain('hint:')
    expect(wrote).toBe(false)
  })
})

describe('--dicom', () => {
  test.each<[string[], string]>([
    [
      ['predict', '--checkpoint', 'a.pt', '--out', 'out'],
      'wrong input (expected --images or --dicom, found none)',
    ],
    [
      ['predict', '--checkpoint', 'a.pt', '--out', 'out', '--images', 'a', '--dicom', 'b'],
      'wrong input (expected --images or --dicom, found both)',
    ],
    [
      ['predict', '--checkpoint', 'a.pt', '--out', 'out', '--images', 'a', '--dicom-seg-labels', '1:liver'],
      '--dicom-seg: no CT series',
    ],
    [
      ['synthesize', '--out', 'out', '--dicom', 'a'],
      '--dicom: no organ labels (expected --organs-with, too)',
    ],
    [
      ['synthesize', '--out', 'out', '--images', 'a', '--organs-with', 'lungmask'],
      '--organs-with: only with --dicom',
    ],
    [
      ['synthesize', '--out', 'out', '--images', 'a', '--dicom', 'b', '--organs-with', 'lungmask'],
      '--dicom: cannot be used with --images and --labels',
    ],
  ])('refuses %j', async (argv, message) => {
    const { code, stderr, wrote } = await run(...argv)
    expect(code).toBe(2)
    expect(stderr).toContain(message)
    expect(wrote).toBe(false)
  })
})
