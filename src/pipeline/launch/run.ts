import { access, rm } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { onAbort } from '../../abort.js'
import { cardOf, EXIT, FreetumorError, StoppedError, UsageError } from '../../errors.js'
import { type JsonLog, openJsonLog } from '../../jsonl.js'
import { abortReason, forwardStops } from '../../stop-signals.js'
import { cannotBeRead, typedSystemError } from '../../system-errors.js'
import { EventStream } from '../../training/event-stream.js'
import { restartAfter } from '../../training/failure.js'
import {
  type Launch,
  type LaunchEvent,
  type LaunchOptions,
  type LaunchResult,
  missOldOutput,
} from '../../training/launch.js'
import { newRunId, writeFailure } from '../../training/run-directory.js'
import { makeFolder, makeWritableFolder, writeWhole } from '../../whole-file.js'
import { WRITING } from '../locks.js'
import { checkNode } from '../nodes.js'
import type { DirectoryLock } from '../ports/common.js'
import type { ScriptRunner, ScriptSpec } from '../ports/script.js'

type Untimed = LaunchEvent extends infer E ? (E extends LaunchEvent ? Omit<E, 'time'> : never) : never
type Settings = Omit<ScriptSpec, 'runId' | 'attempt' | 'logDirectory' | 'onOutput'>

const NO_RESTARTS = { max: 0, backoffSeconds: 5 }

/** Start a user's script at once. */
export function startLaunch(options: LaunchOptions, runner: ScriptRunner): Launch {
  return new ScriptLaunch(options, runner)
}

class ScriptLaunch implements Launch {
  readonly id = newRunId()
  readonly directory: string
  readonly result: Promise<LaunchResult>
  readonly #stream = new EventStream<LaunchEvent>(missOldOutput)
  readonly #stopRequested = new AbortController()
  #log: JsonLog<LaunchEvent> | null = null
  #lock: DirectoryLock | null = null
  #attempts = 0

  constructor(
    private readonly options: LaunchOptions,
    private readonly runner: ScriptRunner,
  ) {
    const name = basename(options.script).replace(/\.py$/, '')
    this.directory = resolve(options.out ?? join('runs', name, this.id))
    const release = forwardStops(options, this.#stopRequested)
    this.result = this.#run().finally(release)
    // a reader may ignore `result`: the iterator throws the same error
    this.result.catch(() => {})
  }

  [Symbol.asyncIterator](): AsyncIterator<LaunchEvent> {
    return this.#stream[Symbol.asyncIterator]()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop('disposed')
  }

  async stop(reason = 'stop'): Promise<void> {
    this.#stopRequested.abort(reason)
    await this.result.catch(() => {})
  }

  async #run(): Promise<LaunchResult> {
    try {
      const settings = await checked(this.options)
      await this.#open(settings)
      await this.attemptUntilDone(settings)
      return await this.#conclude('completed', 'every rank ended well', EXIT.ok)
    } catch (caught) {
      const error = typedSystemError(caught)
      if (error instanceof StoppedError) return await this.#conclude('stopped', error.message, EXIT.stopped)
      const known = error instanceof FreetumorError ? error : null
      if (this.#log !== null)
        await this.#fail(known?.message ?? String(error), known?.exitCode ?? EXIT.failure)
      this.#stream.end(error)
      throw error
    } finally {
      await this.#lock?.[Symbol.asyncDispose]()
    }
  }

  async #open(settings: Settings): Promise<void> {
    const { directory } = this
    const plan = join(directory, 'launch.json')
    const logs = join(directory, 'logs')
    await this.#refuseEarlier(plan, logs)
    await makeWritableFolder(directory)
    await makeFolder(logs)
    this.#lock = await this.runner.lock(directory, WRITING, settings.python)
    // a launch that started at the same moment has ended by now
    await this.#refuseEarlier(plan, logs)
    // without locks that launch may be about to begin
    if (!this.#lock.enforced && (await exists(plan))) throw holdsLaunch(directory)
    if (await exists(plan)) await removeRecords(directory)
    // values of the environment may be secret
    const { environment, ...shown } = settings
    const record = { run: this.id, ...shown, environment: Object.keys(environment) }
    await writeWhole(plan, `${JSON.stringify(record, null, 2)}\n`)
    this.#log = await openJsonLog<LaunchEvent>(join(directory, 'events.jsonl'))
  }

  /** Refuse the directory of an earlier launch, unless its script never began. */
  async #refuseEarlier(plan: string, logs: string): Promise<void> {
    if ((await exists(plan)) && (await this.runner.hasBegun(logs))) throw holdsLaunch(this.directory)
  }

  /** Run attempts until one succeeds, the restarts are spent, or the launch is stopped. */
  async attemptUntilDone(settings: Settings): Promise<void> {
    const policy = this.options.restarts ?? NO_RESTARTS
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#live(settings, attempt)
      } catch (error) {
        const card = cardOf(error)
        if (card === null) throw error
        await writeFailure(this.directory, card)
        // no two attempts are at the same place: the policy's number alone decides
        const afterSeconds = restartAfter(error, attempt, null, attempt, policy)
        if (afterSeconds === null) throw error
        const { kind, rank, message } = card
        this.#emit({ type: 'restart', attempt: attempt + 1, afterSeconds, kind, rank, reason: message })
        await this.#rest(afterSeconds)
      }
    }
  }

  async #live(settings: Settings, attempt: number): Promise<void> {
    this.#throwIfStopped()
    const logDirectory = join(this.directory, 'logs')
    const { nodes, nodeRank, processesPerNode, script } = settings
    const started = await this.runner.start({
      ...settings,
      runId: this.id,
      attempt,
      logDirectory,
      onOutput: (rank, text) => this.#emit({ type: 'output', rank, text, missed: 0 }),
    })
    this.#attempts++
    this.#emit({
      type: 'started',
      run: this.id,
      attempt,
      script,
      nodeRank,
      worldSize: nodes * processesPerNode,
      pid: started.pid,
      logs: logDirectory,
    })
    const release = onAbort(this.#stopRequested.signal, () => started.stop())
    try {
      await started.ended
    } catch (error) {
      this.#throwIfStopped()
      throw error
    } finally {
      release()
    }
  }

  async #rest(seconds: number): Promise<void> {
    await setTimeout(seconds * 1000, undefined, { signal: this.#stopRequested.signal }).catch(() => {})
    this.#throwIfStopped()
  }

  #throwIfStopped(): void {
    const { signal } = this.#stopRequested
    if (signal.aborted)
      throw new StoppedError(abortReason(signal), { hint: 'launch the script again with another --out' })
  }

  #emit(event: Untimed): void {
    const timed = { time: new Date().toISOString(), ...event } as LaunchEvent
    // what ranks write is in their logs
    if (event.type !== 'output') this.#log?.write(timed)
    this.#stream.push(timed)
  }

  async #conclude(outcome: LaunchResult['outcome'], reason: string, exitCode: number): Promise<LaunchResult> {
    await this.#end(outcome, reason, exitCode)
    this.#stream.end()
    return { outcome, reason, directory: this.directory, attempts: this.#attempts }
  }

  async #fail(reason: string, exitCode: number): Promise<void> {
    // a full disk must not hide the reason why the script ended
    await this.#end('failed', reason, exitCode).catch(() => {})
  }

  async #end(outcome: 'completed' | 'stopped' | 'failed', reason: string, exitCode: number): Promise<void> {
    this.#emit({ type: 'finished', outcome, reason })
    await this.#log?.close()
    const record = { outcome, reason, attempts: this.#attempts, exitCode }
    await writeWhole(join(this.directory, 'exit.json'), `${JSON.stringify(record, null, 2)}\n`)
  }
}

function holdsLaunch(directory: string): UsageError {
  return new UsageError(`${directory}: already holds a launch`, { hint: 'choose another --out' })
}

/** Remove the records of a launch whose script never began; keep its logs. */
async function removeRecords(directory: string): Promise<void> {
  try {
    for (const name of ['events.jsonl', 'failure.json', 'exit.json'])
      await rm(join(directory, name), { force: true })
  } catch (error) {
    throw typedSystemError(error, directory)
  }
}

/** @throws UsageError that names the option */
async function checked(options: LaunchOptions): Promise<Settings> {
  const cwd = resolve(options.cwd ?? '.')
  const { module = false, nodes = 1, nodeRank = 0, rendezvous = null, processesPerNode = 1 } = options
  const script = module ? options.script : resolve(cwd, options.script)
  if (!module && !(await exists(script)))
    throw new UsageError(cannotBeRead(script, 'ENOENT', 'script'), {
      hint: 'name a Python file, or a module with --module',
    })
  const { hangSeconds = null, heartbeat = null, threads = 1, stopSeconds = 30 } = options
  for (const [name, value] of Object.entries({ processesPerNode, nodes, threads }))
    if (!Number.isInteger(value) || value < 1)
      throw new UsageError(
        `${name}: not a positive number (expected an integer of at least 1, found ${value})`,
        {
          hint: `give ${name} as 1 or more`,
        },
      )
  checkNode(nodes, nodeRank, rendezvous)
  if (heartbeat !== null && hangSeconds === null)
    throw new UsageError('heartbeat: has no effect without a limit', {
      hint: 'pass --hang-seconds (hangSeconds) too',
    })
  return {
    script,
    args: options.args ?? [],
    module,
    processesPerNode,
    nodes,
    nodeRank,
    rendezvous,
    cwd,
    environment: options.environment ?? {},
    threads,
    python: options.python ?? null,
    hangSeconds,
    heartbeat: heartbeat === null ? null : resolve(cwd, heartbeat),
    stopSeconds,
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
