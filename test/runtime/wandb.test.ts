import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { hostname, userInfo } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { resolvePython } from '../../src/runtime/python.js'
import { wandbTracker } from '../../src/runtime/wandb.js'
import { Feed } from '../../src/tracking/feed.js'
import { TrackingState } from '../../src/tracking/state.js'
import type { RunEvent } from '../../src/training/events.js'
import { temporaryFolder } from '../helpers/temporary.js'
import { until } from '../helpers/until.js'
import { finished, started, steps, validation, writeEvents } from '../tracking/run-events.js'

const FACTS = { version: '0.2.0', seed: 7, name: null, config: null }

function missing(): string | null {
  try {
    execFileSync(resolvePython(), ['-c', 'import wandb'], { stdio: 'ignore' })
    return null
  } catch {
    return 'needs `freetumor setup --extra wandb`'
  }
}
const absent = missing()

async function sent(folder: string, events: readonly RunEvent[]) {
  writeEvents(folder, events)
  const state = await TrackingState.open(folder)
  const notes: string[] = []
  const note = (text: string): void => void notes.push(text)
  const feed = new Feed(folder, wandbTracker(null, folder, 'tumors', FACTS), state, { note })
  return { ...(await feed.end('completed', false)), notes }
}

/** The file of a run that the package wrote in a folder. */
function fileIn(folder: string): Buffer {
  const [name] = readdirSync(folder).filter((one) => one.startsWith('offline-run-'))
  const [file] = readdirSync(join(folder, name!)).filter((one) => one.endsWith('.wandb'))
  return readFileSync(join(folder, name!, file!))
}

describe.skipIf(absent !== null)(`the tracker wandb${absent === null ? '' : ` (${absent})`}`, () => {
  it('writes each part of a run offline once, under one id, without host, user or path', async () => {
    vi.stubEnv('WANDB_MODE', undefined)
    const folder = temporaryFolder()
    const first = [started(), ...steps(0, 3), validation(3), finished(3)]
    const one = await sent(folder, first)
    expect(one).toMatchObject({ step: 2, failure: null })
    expect(await sent(folder, first)).toMatchObject({ values: 0, failure: null })
    const all = [...first, started(3), ...steps(3, 5), finished(5)]
    expect(await sent(folder, all)).toMatchObject({ step: 4, run: one.run, failure: null })
    vi.unstubAllEnvs()
    const written = readdirSync(join(folder, 'wandb')).filter((name) => name.startsWith('steps-'))
    expect(written).toEqual(['steps-0-2', 'steps-3-4'])
    for (const name of written) {
      const content = fileIn(join(folder, 'wandb', name))
      for (const text of [one.run!, 'loss/total']) expect(content.includes(text)).toBe(true)
      for (const text of [folder, process.cwd(), `"${hostname()}"`, `"${userInfo().username}"`])
        expect(content.includes(text)).toBe(false)
    }
  })

  it('repeats no step that it wrote before its record', async () => {
    const folder = temporaryFolder()
    const events = [started(), ...steps(0, 3), finished(3)]
    await sent(folder, events)
    const { id } = JSON.parse(readFileSync(join(folder, 'tracking.json'), 'utf8'))
    writeFileSync(join(folder, 'tracking.json'), JSON.stringify({ id, trackers: {} }))
    expect(await sent(folder, events)).toMatchObject({ values: 0, run: id, failure: null })
    expect(readdirSync(join(folder, 'wandb'))).toEqual(['steps-0-2'])
  })
})

it.each([undefined, '/cache of the user'])(
  'the tracker wandb leaves no cache in the home folder, unless WANDB_CACHE_DIR is set (%s)',
  async (chosen) => {
    vi.stubEnv('WANDB_CACHE_DIR', chosen)
    onTestFinished(() => void vi.unstubAllEnvs())
    const folder = temporaryFolder()
    const python = join(folder, 'python')
    const print = 'printf "%s\\n" "$WANDB_CACHE_DIR" "$TMPDIR"'
    writeFileSync(
      python,
      `#!/bin/sh\n${print} > '${folder}/places'\nwhile read -r line && test "$line" != '{"end":0}'; do :; done\necho '{"folder": "steps-0-2"}'\n`,
      { mode: 0o755 },
    )
    vi.stubEnv('FREETUMOR_PYTHON', python)
    await sent(folder, [started(), ...steps(0, 3), finished(3)])
    const [cache, temporary] = readFileSync(join(folder, 'places'), 'utf8').split('\n')
    expect(cache).toBe(chosen ?? temporary)
    expect(existsSync(temporary!)).toBe(false)
  },
)

it('the tracker wandb names the part of the runtime that it lacks', async () => {
  const folder = temporaryFolder()
  const python = join(folder, 'python')
  writeFileSync(
    python,
    `#!/bin/sh\nexec ${resolvePython()} -c 'import sys; sys.modules["wandb"] = None; from freetumor_runtime.wandb_run import main; main()'\n`,
    { mode: 0o755 },
  )
  writeEvents(folder, [started(), ...steps(0, 3), finished(3)])
  const state = await TrackingState.open(folder)
  const feed = new Feed(folder, wandbTracker(python, folder, 'tumors', FACTS), state, { note: () => {} })
  const { failure, step } = await feed.end('completed', false)
  expect(failure).toMatchObject({ commandHint: 'run `freetumor setup --extra wandb`' })
  expect(failure?.message).toMatch(/^wandb: cannot be imported/)
  expect(step).toBe(-1)
  expect(readdirSync(folder)).not.toContain('wandb')
})

/** Start a tracker whose process writes a temporary folder of the package and a part of the run, then runs `last`. */
async function opened(last: string) {
  const folder = temporaryFolder()
  const temporary = temporaryFolder()
  vi.stubEnv('TMPDIR', temporary)
  onTestFinished(() => void vi.unstubAllEnvs())
  const python = join(folder, 'python')
  const staging = join(folder, 'wandb/unfinished-ab12')
  writeFileSync(
    python,
    `#!/bin/sh\nmkdir -p "$TMPDIR/media" '${staging}/wandb' '${folder}/wandb/steps-0-1'\ntouch '${folder}/ready'\n${last}\n`,
    { mode: 0o755 },
  )
  const tracker = wandbTracker(python, folder, 'tumors', FACTS)
  await tracker.open({ id: 'a', run: null }, started(), new AbortController().signal)
  await until(() => existsSync(join(folder, 'ready')))
  return { folder, temporary, tracker }
}

it('the tracker wandb removes the temporary folders of a process that it ends', async () => {
  const { folder, temporary, tracker } = await opened('exec cat')
  expect(readdirSync(temporary)).toHaveLength(1)
  await tracker.close()
  expect(readdirSync(temporary)).toEqual([])
  expect(readdirSync(join(folder, 'wandb'))).toEqual(['steps-0-1'])
})

it('the tracker wandb removes the temporary folders of a process that failed', async () => {
  const { folder, temporary, tracker } = await opened('exit 1')
  await expect(tracker.end('completed', 0, new AbortController().signal)).rejects.toThrow('the process ended')
  await tracker.close()
  expect(readdirSync(temporary)).toEqual([])
  expect(readdirSync(join(folder, 'wandb'))).toEqual(['steps-0-1'])
})
