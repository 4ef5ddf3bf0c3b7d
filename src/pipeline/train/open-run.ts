import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { recordConfig } from '../../config/load.js'
import type { RunConfig } from '../../config/schema.js'
import { typedSystemError } from '../../system-errors.js'
import { type Ownership, takeOver } from '../../training/owner.js'
import type { Run, TrainOptions } from '../../training/run.js'
import { makeRunDirectory, refuseExistingRun } from '../../training/run-directory.js'
import { recordVersion, refuseOtherFormat } from '../../training/run-version.js'
import { writeWhole } from '../../whole-file.js'
import { TRAINING } from '../locks.js'
import { joinRunDirectory, keepsRun, nodeFile } from '../nodes.js'
import type { NodePlace } from '../ports/common.js'
import type { ModelRuntime } from '../ports/runtime.js'
import { type Note, openResumePoint, type ResumePoint, refuseNothingToResume } from './resume.js'

export interface OpenedRun {
  /** Null for a new run and on every node but node 0, which reports the step to the others. */
  readonly resumed: ResumePoint | null
  readonly shared: AsyncDisposable
  /** Null on every node but node 0. */
  readonly owner: Ownership | null
  /** Written once the log is open. */
  readonly notes: readonly Note[]
}

const NO_LOCKS: Note = {
  level: 'warning',
  text: 'the file system of the run has no locks: start no second training in its directory',
}

/** Create or open the directory of a run, for this process alone. A refused run is not changed. */
export async function openRun(
  run: Run,
  config: RunConfig,
  runtime: ModelRuntime,
  { resume, acceptChanges = false }: TrainOptions,
  place: NodePlace | null,
): Promise<OpenedRun> {
  const { directory } = run
  const keeps = keepsRun(place)
  if (place !== null && !keeps) await joinRunDirectory(directory, place, resume !== undefined)
  else if (resume === undefined) await makeRunDirectory(directory)
  else {
    await refuseNothingToResume(directory)
    await refuseOtherFormat(directory)
  }
  // before anything else: another process may be working in it
  const lock = keeps ? await runtime.lock(directory, TRAINING) : null
  let control: AsyncDisposable | null = null
  const close = async (): Promise<void> => {
    await control?.[Symbol.asyncDispose]()
    await lock?.[Symbol.asyncDispose]()
  }
  try {
    // a run that began at the same moment has ended by now
    if (keeps && resume === undefined) await refuseExistingRun(directory)
    control = await runtime.share(run, nodeFile('control.json', place))
    const owner = keeps ? await takeOver(directory, run.id) : null
    const goesOn = resume !== undefined && keeps
    const resumed = goesOn ? await openResumePoint(directory, config, acceptChanges) : null
    // the exit record of the earlier part is outdated
    if (resume !== undefined) await rm(join(directory, nodeFile('exit.json', place)), { force: true })
    if (resumed === null) {
      if (resume === undefined && keeps) await recordVersion(directory)
      await writeWhole(join(directory, 'config.resolved.yaml'), recordConfig(config))
    }
    const notes = [...(lock?.enforced === false ? [NO_LOCKS] : []), ...(resumed?.notes ?? [])]
    return { resumed, owner, notes, shared: { [Symbol.asyncDispose]: close } }
  } catch (error) {
    await close()
    throw typedSystemError(error, directory)
  }
}
