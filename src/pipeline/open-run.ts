import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { printConfig } from '../config/load.js'
import type { RunConfig } from '../config/schema.js'
import type { Run, TrainOptions } from '../training/run.js'
import { makeRunDirectory, refuseExistingRun, writeWhole } from '../training/run-directory.js'
import { recordVersion, refuseOtherFormat } from '../training/run-version.js'
import { joinRunDirectory, keepsRun, nodeFile } from './hosts.js'
import type { HostPlace, ModelRuntime } from './ports.js'
import { openResumePoint, type ResumePoint, refuseNothingToResume } from './resume.js'

export interface OpenedRun {
  /** Null for a new run, and on other hosts than node 0, which says where they go on. */
  readonly resumed: ResumePoint | null
  readonly shared: AsyncDisposable
}

/** Makes or opens the directory of a run, for this process alone. A run that is refused here is left as it was. */
export async function openRun(
  run: Run,
  config: RunConfig,
  runtime: ModelRuntime,
  { resume, acceptChanges = false }: TrainOptions,
  place: HostPlace | null,
): Promise<OpenedRun> {
  const { directory } = run
  if (place !== null && !keepsRun(place)) await joinRunDirectory(directory, place, resume !== undefined)
  else if (resume === undefined) await makeRunDirectory(directory)
  else {
    await refuseNothingToResume(directory)
    await refuseOtherFormat(directory)
  }
  // first, because a directory that is being trained in holds a run as well
  const shared = await runtime.share(run, nodeFile('control.json', place))
  try {
    if (resume === undefined && keepsRun(place)) await refuseExistingRun(directory)
    const goesOn = resume !== undefined && keepsRun(place)
    const resumed = goesOn ? await openResumePoint(directory, config, acceptChanges) : null
    // of a run that goes on, what it says is over
    if (resume !== undefined) await rm(join(directory, nodeFile('exit.json', place)), { force: true })
    if (resumed === null) {
      if (resume === undefined && keepsRun(place)) await recordVersion(directory)
      await writeWhole(join(directory, 'config.resolved.yaml'), printConfig(config))
    }
    return { resumed, shared }
  } catch (error) {
    await shared[Symbol.asyncDispose]()
    throw error
  }
}
