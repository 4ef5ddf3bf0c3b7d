import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { onAbort } from '../abort.js'
import { EnvironmentError } from '../errors.js'
import { asRecord, parseForeignJson } from '../foreign-text.js'
import { oneLine } from '../plain-text.js'
import type { TrackedStep } from '../tracking/steps.js'
import type { OpenedRemote, RunFacts, TrackedRun, Tracker } from '../tracking/tracker.js'
import type { Outcome, StartedEvent } from '../training/events.js'
import { makeTemporaryFolder } from '../whole-file.js'
import { cleanEnvironment, resolvePython } from './python.js'

/** A folder of `wandb/` is complete; its name states its first and last step. */
const WRITTEN = /^steps-\d+-(\d+)$/
/** Start of the name of a folder that the process writes and renames when it is complete. */
const UNFINISHED = 'unfinished-'

/**
 * Return the tracker Weights & Biases: the part `wandb` of a Python runtime writes the run into `wandb/` of its directory when a
 * training ends. The package uploads only with `WANDB_MODE=online` in the environment.
 */
export function wandbTracker(
  python: string | null | undefined,
  directory: string,
  project: string,
  facts: RunFacts,
): Tracker {
  return new WandbTracker(python, directory, project, facts)
}

class WandbTracker implements Tracker {
  readonly name = 'wandb'
  readonly atEnd = true
  readonly graceMs = 60_000
  #child: ChildProcessWithoutNullStreams | null = null
  #answer: Promise<string> = Promise.resolve('')
  #temporary: string | null = null

  constructor(
    private readonly python: string | null | undefined,
    private readonly directory: string,
    private readonly project: string,
    private readonly facts: RunFacts,
  ) {}

  get at(): string {
    return this.project
  }

  async open({ id }: TrackedRun, started: StartedEvent): Promise<OpenedRemote> {
    await this.close()
    const names = await readdir(join(this.directory, 'wandb')).catch(() => [])
    this.#temporary = await makeTemporaryFolder('freetumor-wandb-')
    const last = Math.max(-1, ...names.map((name) => Number(WRITTEN.exec(name)?.[1] ?? -1)))
    const child = spawn(
      resolvePython({ explicit: this.python ?? undefined }),
      ['-m', 'freetumor_runtime.wandb_run'],
      {
        stdio: ['pipe', 'pipe', 'pipe'],
        // Ctrl-C reaches only this process, which then ends the child
        detached: true,
        env: {
          // each run would leave a log in the cache in the home folder; the user's own choice of a folder wins
          WANDB_CACHE_DIR: this.#temporary,
          ...cleanEnvironment({ threads: 1 }),
          WANDB_ERROR_REPORTING: 'false',
          // the package leaves folders there if its process is killed
          TMPDIR: this.#temporary,
        },
      },
    )
    child.stdin.on('error', () => {})
    child.stderr.resume()
    this.#child = child
    this.#answer = text(child.stdout)
    const failed = new Promise<never>((_, reject) => child.once('error', reject))
    failed.catch(() => {})
    await Promise.race([once(child, 'spawn'), failed])
    const [entity, project] = this.project.includes('/') ? this.project.split('/') : [null, this.project]
    const { version, seed, name, config } = this.facts
    const { job, worldSize, versions } = started
    const about = { version, seed, job, worldSize, versions, ...config }
    await this.#write({
      directory: this.directory,
      id,
      entity,
      project,
      job,
      name: name ?? `${job} ${started.time.slice(0, 16).replace('T', ' ')}`,
      config: about,
    })
    return { run: id, last: () => last }
  }

  async send(steps: readonly TrackedStep[], _started: StartedEvent, signal: AbortSignal): Promise<void> {
    for (const { step, values } of steps) {
      signal.throwIfAborted()
      await this.#write({ step, values })
    }
  }

  async end(outcome: Outcome | null, _timeMs: number, signal: AbortSignal): Promise<void> {
    const release = onAbort(signal, () => void this.close())
    try {
      await this.#write({ end: outcome === 'completed' ? 0 : 1 })
      const said = await this.#answer
      signal.throwIfAborted()
      const { folder, error, missing } = asRecord(said === '' ? {} : parseForeignJson(said, 'wandb')) ?? {}
      if (typeof folder === 'string') return
      throw new EnvironmentError(`wandb: ${oneLine(String(error ?? 'the process ended')).slice(0, 300)}`, {
        hint:
          missing === true
            ? 'run `freetumor setup --extra wandb`'
            : 'correct the project, or the environment variables WANDB_*',
      })
    } finally {
      release()
    }
  }

  /** End the process, and remove its temporary folders. */
  async close(): Promise<void> {
    const [child, temporary] = [this.#child, this.#temporary]
    this.#child = null
    this.#temporary = null
    if (child?.pid !== undefined) {
      try {
        process.kill(-child.pid, 'SIGKILL')
      } catch {
        // it has ended
      }
      await this.#answer.catch(() => {})
    }
    if (temporary === null) return
    const folder = join(this.directory, 'wandb')
    const names = await readdir(folder).catch(() => [])
    const left = names.filter((name) => name.startsWith(UNFINISHED)).map((name) => join(folder, name))
    for (const one of [temporary, ...left]) await rm(one, { recursive: true, force: true })
  }

  async #write(line: unknown): Promise<void> {
    const { stdin } = this.#child!
    // the answer states why a process ended early
    if (!stdin.writable || stdin.write(`${JSON.stringify(line)}\n`)) return
    await Promise.race([once(stdin, 'drain'), once(stdin, 'close')]).catch(() => {})
  }
}
