import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { onAbort } from '../../abort.js'
import { recordConfig } from '../../config/load.js'
import type { RunConfig } from '../../config/schema.js'
import { StoppedError, type UsageError } from '../../errors.js'
import { abortReason } from '../../stop-signals.js'
import { typedSystemError } from '../../system-errors.js'
import { type Ownership, takeOver } from '../../training/owner.js'
import type { Run, TrainOptions } from '../../training/run.js'
import { makeRunDirectory, refuseExistingRun } from '../../training/run-directory.js'
import { recordVersion, refuseOtherFormat } from '../../training/run-version.js'
import { writeWhole } from '../../whole-file.js'
import { TRAINING } from '../locks.js'
import { joinRunDirectory, keepsRun, nodeFile } from '../nodes.js'
import type { DirectoryLock, LockedWork, NodePlace } from '../ports/common.js'
import type { ModelRuntime } from '../ports/runtime.js'
import { waitUnless } from './restart.js'
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
  { resume, acceptChanges = false, signal, ...wait }: TrainOptions,
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
  const lock = keeps ? await lockWithin(wait, directory, runtime, signal) : null
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
    // on a shared disk, node 0 compares the record before any node changes it
    if (resumed === null && (keeps || resume === undefined)) {
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

/** Time between two attempts to lock a directory. */
const LOCK_RETRY_MS = 2000

/**
 * Lock a run's directory; wait while another process trains in it, such as ranks whose node the scheduler has lost.
 * @throws UsageError that names the process after the wait, StoppedError if the signal aborts
 */
async function lockWithin(
  { lockWaitSeconds = 0, onLockWait }: Pick<TrainOptions, 'lockWaitSeconds' | 'onLockWait'>,
  directory: string,
  runtime: ModelRuntime,
  signal: AbortSignal | undefined,
): Promise<DirectoryLock> {
  const until = performance.now() + lockWaitSeconds * 1000
  for (let attempt = 0; ; attempt++) {
    let refusal: UsageError | null = null
    const refused: LockedWork['refusal'] = (folder, holder) => {
      refusal = TRAINING.refusal(folder, holder)
      return refusal
    }
    try {
      return await runtime.lock(directory, { refusal: refused })
    } catch (error) {
      if (error !== refusal || performance.now() >= until) throw error
    }
    if (attempt === 0) onLockWait?.(refusal!.message)
    let release = (): void => {}
    const aborted = new Promise<void>((resolve) => {
      release = onAbort(signal, resolve)
    })
    await waitUnless(aborted, LOCK_RETRY_MS / 1000)
    release()
    if (signal?.aborted)
      throw new StoppedError(abortReason(signal), { hint: 'submit or resume the run again' })
  }
}
