import { expect, test } from 'vitest'
import { addPredictCommand } from '../../../src/cli/commands/predict.js'
import { runProgram } from '../../../src/cli/program.js'
import { memoryIo } from '../../helpers/cli.js'

const FLAGS = ['predict', '--checkpoint', 'a.pt', 'b.pt', '--images', 'scans', '--out', 'masks']

test.each([
  [['--overlap', '1'], /a number from 0 to below 1/],
  [['--min-foreground', 'much'], /a number from 0 to below 1/],
  [['--mirror', '0,3'], /axes among 0,1,2, distinct/],
  [['--mirror', '1,1'], /axes among 0,1,2, distinct/],
  [['--map', '1'], /--map: invalid pair "1" \(expected output:id\)/],
  [['--map', 'liver-tumr:1'], /did you mean liver-tumor\?/],
  [['--map', '1:256x'], /--map: unknown label \(expected an id above 0 or a name, found 256x\)/],
  [['--map', '1:0,1:2'], /--map: output 1 has two ids/],
  [['--probabilities', 'lver'], /--probabilities: unknown output .*found lver\)\nhint: did you mean liver\?/],
  [['--organ-ids', '0'], /--organ-ids: unknown label \(expected an id above 0 or a name, found 0\)/],
  [['--region', 'chest', '--organ-ids', 'lunge'], /did you mean lung\?/],
  [
    ['--profile', 'lesion'],
    /predict: --profile: wrong value \(expected one of voco, freetumor, difftumor, leaderboard, nnunet, found lesion\)/,
  ],
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
