import { existsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { extname, resolve } from 'node:path'
import { UsageError } from '../../errors.js'
import { cannotBeRead } from '../../system-errors.js'
import { holdsRun } from '../../training/run-directory.js'
import { checkpointFile } from '../checkpoint/checkpoint-file.js'
import { configNamed } from '../data/collect.js'

/** Endings of lists and manifests, of which none is a file of weights. */
const LISTS = ['.json', '.txt']

/**
 * Return whether a path names scans (a data set, list, manifest or configuration), and not weights (a run, a file).
 * @throws UsageError if it does not exist
 */
export async function isDatasetPath(argument: string, cwd: string): Promise<boolean> {
  if (configNamed(argument, cwd) !== null) return true
  const path = resolve(cwd, argument)
  if (!existsSync(path))
    throw new UsageError(cannotBeRead(path, 'ENOENT'), {
      hint: 'name a run, a file of weights or a data set',
    })
  if (!(await stat(path)).isDirectory()) return LISTS.includes(extname(path).toLowerCase())
  // a run without a checkpoint is no data set either
  if (await holdsRun(path)) return false
  return await checkpointFile(path).then(
    () => false,
    () => true,
  )
}
