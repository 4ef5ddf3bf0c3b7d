import { expect, test } from 'vitest'
import { addPredictCommand } from '../../../src/cli/commands/predict.js'
import { runProgram } from '../../../src/cli/program.js'
import { memoryIo } from '../../helpers/cli.js'

const FLAGS = ['predict', '--checkpoint', 'a.pt', 'b.pt', '--images', 'scans', '--out', 'masks']

test.each([
  [['--overlap', '1'], /a number from 0 to below 1/],
  [['--min-foreground', 'much'], /a number from 0 to below 1/],
  [['--mirror', '0,3'], /axes 0, 1, 2/],
  [['--mirror', '1,1'], /axes 0, 1, 2/],
  [['--map', '1'], /leaderboard, or from:to/],
  [['--map', '1:0,1:2'], /given two ids/],
  [['--probabilities', 'tumor'], /ids were expected/],
  [['--profile', 'lesion'], /Allowed choices are voco, freetumor, difftumor, leaderboard/],
  [['--config', 'nowhere.yaml'], /nowhere\.yaml/],
])('predict refuses %j before anything starts', async (flags, message) => {
  const io = memoryIo()
  expect(await runProgram([addPredictCommand], [...FLAGS, ...flags], io)).toBe(2)
  expect(io.stderr.join('\n')).toMatch(message)
})

test('predict shows how it is used', async () => {
  const io = memoryIo()
  expect(await runProgram([addPredictCommand], ['predict', '--help'], io)).toBe(0)
  expect(io.stdout.join('\n')).toMatch(/^Examples?:\n {2}\$ freetumor predict --checkpoint/)
})
