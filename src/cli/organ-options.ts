import { resolve } from 'node:path'
import { UsageError } from '../errors.js'
import type { OrganProgress, OrganSource } from '../pipeline/organs/settings.js'
import { counted } from '../plain-text.js'
import type { CliIo } from './output.js'
import { durationOf } from './progress.js'

/**
 * Return the tool that the words of a flag name.
 * @throws UsageError for an unknown tool, or a tool without its file or command
 */
export function organSource(
  flag: string,
  [tool, argument, ...more]: readonly string[],
  cwd: string,
): OrganSource {
  const hint = 'pass totalsegmentator, lungmask, checkpoint FILE, or command "my-tool {image} {output}"'
  if (more.length > 0)
    throw new UsageError(`${flag}: too many words (found ${[tool, argument, ...more].join(' ')})`, {
      hint: 'quote the whole command',
    })
  if (tool === 'totalsegmentator' || tool === 'lungmask') {
    if (argument === undefined) return tool
    throw new UsageError(`${flag} ${tool}: unexpected word (found ${argument})`, {
      hint: 'pass arguments of the tool with --tool-arg',
    })
  }
  if (tool !== 'checkpoint' && tool !== 'command')
    throw new UsageError(`${flag}: unknown tool (found ${tool})`, { hint })
  if (argument === undefined)
    throw new UsageError(`${flag} ${tool}: no ${tool === 'checkpoint' ? 'file' : 'command'} after it`, {
      hint,
    })
  return tool === 'checkpoint' ? { checkpoint: resolve(cwd, argument) } : { command: argument }
}

/** Return a callback that prints each case with the time left. */
export function organNotes(io: CliIo): (progress: OrganProgress) => void {
  const started = performance.now()
  let worked = 0
  return ({ done, total, caseId, case: one, error }) => {
    worked++
    if (one === null) {
      io.note(`failed ${caseId}: ${error?.message}`)
      if (error?.hint) io.note(`hint: ${error.hint}`)
      return
    }
    const left = ((performance.now() - started) / 1000 / worked) * (total - done)
    const holes = Object.values(one.holes).reduce((sum, { count }) => sum + count, 0)
    const seconds = Object.values(one.seconds).reduce((sum, part) => sum + part, 0)
    const time = `${seconds.toFixed(1)} s (tool ${one.seconds.tool.toFixed(1)} s)`
    io.note(`${done}/${total}  ${caseId}  ${time}  ${counted(holes, 'hole')}  ${durationOf(left)} left`)
    for (const { severity, message } of one.findings)
      if (severity === 'warning') io.note(`warning: ${caseId}: ${message}`)
  }
}
