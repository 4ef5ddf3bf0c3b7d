import { z } from 'zod'
import { FreetumorError } from '../errors.js'
import { parseForeignJson } from '../foreign-text.js'
import type { ControlledProcesses, RunControl } from '../pipeline/ports/runs.js'
import { quoted } from '../plain-text.js'
import { refuse } from './guard.js'
import type { CommandResult, RunCommand } from './messages.js'

const command = z.discriminatedUnion('type', [
  z.strictObject({ type: z.enum(['pause', 'unpause', 'checkpoint', 'stop']) }),
  z.strictObject({ type: z.literal('setLearningRate'), value: z.number().positive().max(10) }),
])

/** Carry out the command of a request body on the run in a directory. */
export async function carryOut(
  directory: string,
  text: string,
  processes: ControlledProcesses,
): Promise<Response> {
  const given = parsed(text)
  if (given === null)
    return refuse(
      'command: not recognised (expected type pause, unpause, checkpoint, stop, or setLearningRate with a value)',
      'correct the request',
      400,
    )
  const run = await processes.connect(directory)
  if (run === null)
    return refuse(
      `${directory}: not running`,
      `\`freetumor train --resume ${quoted(directory)}\` resumes it`,
      409,
    )
  try {
    const result: CommandResult = { command: given.type, step: await act(run, given) }
    return Response.json(result)
  } catch (error) {
    if (error instanceof FreetumorError) return refuse(error.message, error.commandHint ?? '', 409)
    throw error
  } finally {
    run.close()
  }
}

function parsed(text: string): RunCommand | null {
  try {
    return command.parse(parseForeignJson(text, 'command', { depth: 4, values: 16 })) as RunCommand
  } catch {
    return null
  }
}

function act(run: RunControl, given: RunCommand): Promise<number> {
  switch (given.type) {
    case 'setLearningRate':
      return run.setLearningRate(given.value)
    case 'stop':
      return run.stop('freetumor studio')
    default:
      return run[given.type]()
  }
}
