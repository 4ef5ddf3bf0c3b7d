import { RuntimeCrashError, StoppedError } from '../errors.js'

/** Return the error of a job by case that a signal stopped. A resumable job keeps its finished cases. */
export function jobStopped(job: string, resumable = true): StoppedError {
  const hint = resumable ? 'start it again: finished cases are kept' : 'start it again'
  return new StoppedError(`${job} was stopped`, { hint }, resumable)
}

/** Return the error of a command to a training that has ended. */
export function jobEnded(): StoppedError {
  return new StoppedError('the job has ended', { hint: 'resume the run first' })
}

/** Return the error of a call to a warm runtime that is closed. */
export function runtimeClosed(): StoppedError {
  return new StoppedError('the runtime was closed', { hint: 'open another runtime' })
}

/** Return the error of a call whose signal was aborted. */
export function callCancelled(): StoppedError {
  return new StoppedError('the call was cancelled', { hint: 'repeat the call without aborting its signal' })
}

/** Return the error of a runtime that broke the protocol, usually because its version is another. */
export function protocolBroken(message: string): RuntimeCrashError {
  return new RuntimeCrashError(message, {
    hint: 'run `freetumor setup`, so that Python and TypeScript have one version',
  })
}

/** Return the error of a message that the receiver does not support. */
export function unsupportedMessage(rank: number, kind: string): RuntimeCrashError {
  return protocolBroken(`rank ${rank}: sent an unsupported message (${kind})`)
}
