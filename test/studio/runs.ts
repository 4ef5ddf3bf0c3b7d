import { appendFileSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { loadConfig, recordConfig } from '../../src/config/load.js'
import type { ControlledProcesses } from '../../src/pipeline/ports/runs.js'
import { packageRoot } from '../../src/runtime/python.js'
import type { StudioOptions } from '../../src/studio/options.js'
import { openStudio } from '../../src/studio/server.js'
import type { RunEvent, StepEvent } from '../../src/training/events.js'

/** No process trains. */
export const NOBODY: ControlledProcesses = {
  status: async () => null,
  holders: async () => new Map(),
  jobs: async () => new Map(),
  connect: async () => null,
}

const TIME = '2026-11-01T12:00:00.000Z'

/** Events of the first steps of a segmentation: losses fall, each step has one tumor. */
export function eventsOf(steps: number, from = 0): RunEvent[] {
  return Array.from({ length: steps }, (_, at) => [stepEvent(from + at), tumorEvent(from + at)]).flat()
}

export function stepEvent(step: number, loss = 1 / (step + 1)): StepEvent {
  return {
    time: TIME,
    type: 'step',
    job: 'segmentation',
    step,
    epoch: 0,
    losses: { total: loss },
    learningRate: 1e-4,
    seconds: 0.5,
    waitSeconds: 0.05,
    memoryBytes: 2 ** 30,
    utilization: 0.9,
  }
}

function tumorEvent(step: number): RunEvent {
  const counts = { kept: step % 2, tried: 1, shareSeen: step % 2 }
  return {
    time: TIME,
    type: 'synthesis',
    step,
    noRoom: 0,
    ...counts,
    byOrgan: { liver: counts },
    byKind: [{ organ: 'liver', size: 'small', ...counts }],
  }
}

export const STARTED: RunEvent = {
  time: TIME,
  type: 'started',
  job: 'segmentation',
  run: 'run',
  step: 0,
  steps: 100,
  device: 'cpu',
  worldSize: 1,
  versions: { torch: '2' },
  parameters: { segmentor: 1000 },
}

export const linesOf = (events: readonly unknown[]): string =>
  events.map((event) => `${JSON.stringify(event)}\n`).join('')

/** Write the files of a run that a process trains or trained. */
export async function writeRun(
  directory: string,
  events: readonly unknown[] = [STARTED, ...eventsOf(3)],
): Promise<void> {
  mkdirSync(join(directory, 'logs/node-0/rank-0'), { recursive: true })
  const config = await loadConfig('debug-segmentation', { set: ['training.learningRate=0.0002'] })
  writeFileSync(join(directory, 'config.resolved.yaml'), recordConfig(config))
  writeFileSync(join(directory, 'events.jsonl'), linesOf(events))
  writeFileSync(join(directory, 'logs/node-0/rank-0/output.log'), 'first line\nlast line\n')
}

export function appendEvents(directory: string, events: readonly unknown[]): void {
  appendFileSync(join(directory, 'events.jsonl'), linesOf(events))
}

/** Replace the events as a resumed run does: a new file takes the name. */
export function replaceEvents(directory: string, events: readonly unknown[]): void {
  writeFileSync(join(directory, 'events.jsonl.new'), linesOf(events))
  renameSync(join(directory, 'events.jsonl.new'), join(directory, 'events.jsonl'))
}

export interface TestServer {
  readonly url: URL
  readonly token: string
  get(path: string, init?: RequestInit): Promise<Response>
}

/** Serve runs until the test ends. */
export async function serve(folder: string, options: Partial<StudioOptions> = {}): Promise<TestServer> {
  const studio = await openStudio({
    folders: [folder],
    pageFolder: join(packageRoot, 'dist/studio/page'),
    processes: NOBODY,
    ...options,
  })
  onTestFinished(() => studio[Symbol.asyncDispose]())
  const url = new URL(studio.url)
  const token = url.hash.slice('#token='.length)
  const headers = { Authorization: `Bearer ${token}` }
  const get = (path: string, init: RequestInit = {}): Promise<Response> =>
    fetch(new URL(path, url), { ...init, headers: { ...headers, ...init.headers } })
  return { url, token, get }
}
