import { readdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { MeasuredTimes } from '../../cluster/job.js'
import { readEvents } from '../../training/event-log.js'

/**
 * Return the longest step and save of a run, or of the newest run in the same folder, such as `runs/NAME`; null without a
 * checkpoint in any.
 */
export async function measuredTimes(directory: string): Promise<MeasuredTimes | null> {
  const own = await timesIn(join(directory, 'events.jsonl'))
  if (own !== null) return own
  const folder = dirname(directory)
  const names = (await readdir(folder).catch(() => [] as string[])).sort().reverse()
  for (const name of names.slice(0, 10)) {
    const found = await timesIn(join(folder, name, 'events.jsonl'))
    if (found !== null) return found
  }
  return null
}

async function timesIn(path: string): Promise<MeasuredTimes | null> {
  if ((await stat(path).catch(() => null)) === null) return null
  let [stepSeconds, saveSeconds, before, saves] = [0, 0, 0, 0]
  try {
    for await (const event of readEvents(path)) {
      const at = Date.parse(event.time)
      if (event.type === 'step') stepSeconds = Math.max(stepSeconds, event.seconds)
      if (event.type === 'checkpoint') {
        saves++
        saveSeconds = Math.max(saveSeconds, (at - before) / 1000)
      }
      before = at
    }
  } catch {
    return null // a script's events, or a damaged log
  }
  return saves === 0 ? null : { stepSeconds, saveSeconds }
}
