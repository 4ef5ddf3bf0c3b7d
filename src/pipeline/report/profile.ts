import { join } from 'node:path'
import { asRecord, readForeignJson } from '../../foreign-text.js'
import type { StageTimes, StepProfile } from '../../report/profile-section.js'
import { orMissing } from './missing.js'

/**
 * Return the profile of a run that `freetumor train --profile` wrote; null without one.
 * @param problems receives a sentence if the file is damaged
 */
export async function readStepProfile(directory: string, problems: string[]): Promise<StepProfile | null> {
  const name = 'profile.json'
  try {
    const content = await orMissing(readForeignJson(join(directory, name)))
    if (content === null) return null
    if (isProfile(content)) return content
  } catch {
    // reported below
  }
  problems.push(`${name} is damaged: the time by stage is not shown.`)
  return null
}

function isProfile(value: unknown): value is StepProfile {
  const profile = asRecord(value)
  return (
    profile !== undefined &&
    [profile.steps, profile.seconds, profile.processorSeconds].every(isTime) &&
    typeof profile.device === 'string' &&
    Array.isArray(profile.stages) &&
    profile.stages.every(isStage)
  )
}

function isStage(value: unknown): value is StageTimes {
  const stage = asRecord(value)
  return (
    stage !== undefined &&
    typeof stage.name === 'string' &&
    [stage.calls, stage.seconds, stage.processorSeconds].every(isTime) &&
    (stage.deviceSeconds === null || isTime(stage.deviceSeconds))
  )
}

function isTime(value: unknown): boolean {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0
}
