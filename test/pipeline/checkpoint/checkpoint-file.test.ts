import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { checkpointFile } from '../../../src/pipeline/checkpoint/checkpoint-file.js'
import { temporaryFolder } from '../../helpers/temporary.js'

const FIRST = 'checkpoints/step_00000100'
const SECOND = 'checkpoints/step_00000200'

/** A folder with these files; the pointers hold the name of a step. */
function folderWith(...files: readonly string[]): string {
  const folder = temporaryFolder()
  for (const file of files) {
    const [path = '', content = ''] = file.split('=')
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), content)
  }
  return folder
}

const run = (...pointers: readonly string[]): readonly string[] => [
  ...[FIRST, SECOND].flatMap((step) => [`${step}/model.pt`, `${step}/manifest.json`]),
  'checkpoints/latest=step_00000200',
  ...pointers,
]
const best = 'checkpoints/best=step_00000100'

test.each([
  ['a run with a best step', run(best), '', `${FIRST}/model.pt`],
  ['a run without one', run(), '', `${SECOND}/model.pt`],
  ['its folder of checkpoints', run(best), 'checkpoints', `${FIRST}/model.pt`],
  ['the best step', run(best), 'checkpoints/best', `${FIRST}/model.pt`],
  ['the latest step', run(best), 'checkpoints/latest', `${SECOND}/model.pt`],
  ['a step', run(best), SECOND, `${SECOND}/model.pt`],
  ['a file', run(best), `${SECOND}/model.pt`, `${SECOND}/model.pt`],
  ['a MONAI bundle', ['models/model.pt', 'configs/metadata.json'], '', 'models/model.pt'],
  ['an nnU-Net model', ['plans.json', 'dataset.json', 'fold_0/checkpoint_final.pth'], '', ''],
  ['a file called best elsewhere', ['mine/best'], 'mine/best', 'mine/best'],
  ['a path that does not exist', [], 'none.pt', 'none.pt'],
])('%s names its weights', async (_, files, path, expected) => {
  const folder = folderWith(...files)
  expect(await checkpointFile(join(folder, path))).toBe(join(folder, expected))
})

test('a folder without weights is refused with what it holds', async () => {
  await expect(checkpointFile(folderWith('a.txt', 'b.txt'))).rejects.toMatchObject({
    code: 'usage',
    message: expect.stringMatching(/holds no checkpoint \(expected a run, .*, found a\.txt, b\.txt\)/),
  })
  await expect(checkpointFile(folderWith())).rejects.toThrow(/found nothing/)
})

test('a folder with plans of an nnU-Net names the file that it lacks', async () => {
  await expect(checkpointFile(folderWith('plans.json', 'fold_0/checkpoint_final.pth'))).rejects.toMatchObject(
    {
      message: expect.stringContaining('an nnU-Net model that is not complete (found no dataset.json)'),
      commandHint: 'copy dataset.json of the model into the folder',
    },
  )
})

test('one fold of an nnU-Net is refused with the name of its model folder', async () => {
  const folder = folderWith('plans.json', 'dataset.json', 'fold_0/checkpoint_final.pth')
  await expect(checkpointFile(join(folder, 'fold_0/checkpoint_final.pth'))).rejects.toMatchObject({
    message: expect.stringContaining('one fold of an nnU-Net'),
    commandHint: `name the folder ${folder}`,
  })
})
