import { z } from 'zod'
import {
  CheckpointError,
  ConfigError,
  DataError,
  EnvironmentError,
  type FreetumorError,
  PluginError,
  RuntimeCrashError,
  StoppedError,
  SupersededError,
  UsageError,
} from '../errors.js'
import type { Command, Failed, Hello, JobEvent } from '../generated/freetumor/runtime/v1/control.js'
import type { CaseError, CaseOutcome } from '../pipeline/ports/common.js'
import type { RuntimeCommand, RuntimeEvent } from '../pipeline/ports/training.js'
import { protocolBroken } from './job-errors.js'

const caseError = z.object({ error: z.object({ kind: z.string(), message: z.string(), hint: z.string() }) })
const validationCase = z.object({
  counts: z.array(
    z.object({
      label: z.number(),
      truePositive: z.number(),
      falsePositive: z.number(),
      falseNegative: z.number(),
    }),
  ),
})

/** Return a message of the job as an event of the port; throw the error of a `failed` message. */
export function toRuntimeEvent(message: JobEvent, hello: Hello): RuntimeEvent {
  const event = message.event
  switch (event?.$case) {
    case 'ready':
      return {
        type: 'ready',
        step: Number(event.value.step),
        device: hello.device,
        worldSize: hello.worldSize,
        versions: { python: hello.python, torch: hello.torch, monai: hello.monai },
        parameters: Object.fromEntries(
          Object.entries(event.value.parameters).map(([name, count]) => [name, Number(count)]),
        ),
      }
    case 'stepDone':
      return {
        type: 'stepDone',
        step: Number(event.value.step),
        losses: inOrder(event.value.losses),
        learningRate: event.value.learningRate,
        seconds: event.value.seconds,
        waitSeconds: event.value.waitSeconds,
        memoryBytes: event.value.memoryBytes === undefined ? null : Number(event.value.memoryBytes),
        utilization: event.value.utilization ?? null,
      }
    case 'caseResult':
      return {
        type: 'validationCase',
        caseId: event.value.caseId,
        counts: validationCase.parse(JSON.parse(event.value.json)).counts,
      }
    case 'validationDone':
      return { type: 'validationDone', step: Number(event.value.step) }
    case 'checkpointSaved':
      return {
        type: 'checkpointSaved',
        step: Number(event.value.step),
        directory: event.value.directory,
        reason: event.value.reason,
      }
    case 'finished':
      return {
        type: 'finished',
        step: Number(event.value.step),
        outcome: event.value.outcome === 'completed' ? 'completed' : 'stopped',
        reason: event.value.reason,
      }
    case 'note':
      return {
        type: 'note',
        level: event.value.level === 'warning' ? 'warning' : 'info',
        text: event.value.text,
      }
    default:
      throw protocolBroken('the runtime sent an unsupported event')
  }
}

/** Return a note about the messages that the feed dropped, because their sender had no token of the job. */
export function strayText(count: number): string {
  const messages = count === 1 ? '1 message' : `${count} messages`
  return `the feed dropped ${messages} of a process that is no rank of this run`
}

/** Return the values sorted by key: a protobuf map has no fixed order, but the log of a run must. */
function inOrder(values: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** Return the result of one case, as `parse` reads it, or the error of the case. */
export function toCaseOutcome<T>(caseId: string, json: string, parse: (value: unknown) => T): CaseOutcome<T> {
  const value: unknown = JSON.parse(json)
  const failed = caseError.safeParse(value)
  return failed.success ? { caseId, error: failed.data.error } : { caseId, result: parse(value) }
}

export function toCommand(command: RuntimeCommand): Command['command'] {
  switch (command.type) {
    case 'setLearningRate':
      return { $case: 'setLearningRate', value: { learningRate: command.value } }
    case 'pause':
      return { $case: 'pause', value: {} }
    case 'unpause':
      return { $case: 'unpause', value: {} }
    case 'checkpoint':
      return { $case: 'saveCheckpoint', value: {} }
    case 'stop':
      return { $case: 'stop', value: { reason: command.reason } }
    case 'validationVerdict': {
      const { measures, endReason } = command
      return { $case: 'validationVerdict', value: { measures, endReason: endReason ?? '' } }
    }
  }
}

/** Return an error of the Python side as ours: the kind decides the class, the message is unchanged. */
export function reviveFailure(
  failure: Pick<Failed, 'kind' | 'message' | 'hint' | 'rank' | 'traceback'>,
): FreetumorError {
  const details = {
    ...(failure.hint ? { hint: failure.hint } : {}),
    facts: { rank: failure.rank, traceback: failure.traceback },
  }
  return reviveError(failure, details)
}

export function reviveError(
  error: CaseError,
  details: { hint?: string; facts?: Record<string, unknown> } = error.hint ? { hint: error.hint } : {},
): FreetumorError {
  switch (error.kind) {
    case 'usage':
      return new UsageError(error.message, details)
    case 'config':
      return new ConfigError(error.message, details)
    case 'data':
      return new DataError(error.message, details)
    case 'environment':
      return new EnvironmentError(error.message, details)
    case 'checkpoint':
      return new CheckpointError(error.message, details)
    case 'plugin':
      return new PluginError(error.message, details)
    case 'superseded':
      return new SupersededError(error.message, details)
    case 'stopped':
      return new StoppedError(error.message, details)
    default:
      return new RuntimeCrashError(error.message, details)
  }
}
