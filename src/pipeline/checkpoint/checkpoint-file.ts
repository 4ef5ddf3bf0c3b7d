import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { UsageError } from '../../errors.js'
import { bestCheckpoint, latestCheckpoint } from '../../training/checkpoints.js'

const WEIGHTS = 'model.pt'
const CHECKPOINTS = 'checkpoints'
/** Files of an nnU-Net model next to its folds. */
const PLANS = ['plans.json', 'dataset.json']

/**
 * Return the file of weights that a path names: a file itself; `model.pt` of a step of a run; of a run, or of its `best` or
 * `latest`, the step that this names; `models/model.pt` of a MONAI bundle. The model folder of an nnU-Net is returned as it
 * is, and so is a path that does not exist, for its reader to refuse.
 * @throws UsageError for a folder without weights, and for one fold of an nnU-Net, which needs its plans
 */
export async function checkpointFile(path: string): Promise<string> {
  const file = resolve(path)
  const found = await stat(file).catch(() => null)
  if (found?.isDirectory()) return await fileOfFolder(file)
  await refuseLoneFold(file)
  const pointed = found === null ? null : await stepOfPointer(file)
  return pointed === null ? file : join(pointed, WEIGHTS)
}

/** Return the files that decide the outputs of weights: the file itself, or those of an nnU-Net model folder. */
export async function filesOfWeights(path: string): Promise<readonly string[]> {
  if (!(await stat(path)).isDirectory()) return [path]
  const folds = (await readdir(path)).filter((name) => name.startsWith('fold_')).sort()
  return [...PLANS, ...folds.map((fold) => join(fold, 'checkpoint_final.pth'))].map((file) =>
    join(path, file),
  )
}

async function fileOfFolder(folder: string): Promise<string> {
  if (await isModel(folder)) return folder
  for (const own of [WEIGHTS, join('models', WEIGHTS)])
    if (await isFile(join(folder, own))) return join(folder, own)
  const run = basename(folder) === CHECKPOINTS ? dirname(folder) : folder
  const step = (await bestCheckpoint(run)) ?? (await latestCheckpoint(run))
  if (step !== null) return join(step, WEIGHTS)
  const names = (await readdir(folder)).sort()
  const lacking = PLANS.filter((name) => !names.includes(name))
  // a `dataset.json` alone is that of a data set
  if (names.includes('plans.json'))
    throw new UsageError(
      `${folder}: an nnU-Net model that is not complete (found no ${lacking.join(', ')})`,
      {
        hint: `copy ${lacking.join(', ')} of the model into the folder`,
      },
    )
  throw new UsageError(
    `${folder}: the folder holds no checkpoint (expected a run, a step, a MONAI bundle or an nnU-Net model, found ${listed(names)})`,
    { hint: 'name a checkpoint file' },
  )
}

/** @throws UsageError for the file of one fold of an nnU-Net model */
async function refuseLoneFold(file: string): Promise<void> {
  const model = dirname(dirname(file))
  if (!basename(dirname(file)).startsWith('fold_') || !(await isModel(model))) return
  throw new UsageError(`${file}: one fold of an nnU-Net (expected its model folder)`, {
    hint: `name the folder ${model}`,
  })
}

async function isModel(folder: string): Promise<boolean> {
  const found = await Promise.all(PLANS.map((name) => isFile(join(folder, name))))
  return found.every((one) => one)
}

/** Return the folder of the step that `checkpoints/best` or `checkpoints/latest` names; null for any other file. */
async function stepOfPointer(file: string): Promise<string | null> {
  if (basename(dirname(file)) !== CHECKPOINTS) return null
  const run = dirname(dirname(file))
  if (basename(file) === 'best') return await bestCheckpoint(run)
  return basename(file) === 'latest' ? await latestCheckpoint(run) : null
}

async function isFile(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isFile(),
    () => false,
  )
}

function listed(names: readonly string[]): string {
  if (names.length === 0) return 'nothing'
  return names.slice(0, 5).join(', ') + (names.length > 5 ? ', ...' : '')
}
