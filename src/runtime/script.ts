import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { FreetumorError } from '../errors.js'
import type { ScriptAttempt, ScriptRunner, ScriptSpec } from '../pipeline/ports/script.js'
import { typedSystemError } from '../system-errors.js'
import { makeTemporaryFolder } from '../whole-file.js'
import { lockDirectory } from './directory-lock.js'
import { clearFailures, explainFailure, explainHang, failureFolder, oomKills } from './failure.js'
import {
  LAUNCHER,
  literally,
  type ProcessEnd,
  type ProcessLaunch,
  RANK_STORE,
  type RuntimeProcess,
  startProcess,
  torchrunArgv,
} from './process.js'
import { resolvePython, scriptEnvironment } from './python.js'
import { hasRankLogs, openRankLogs, type RankLogs } from './rank-logs.js'
import { networkOf, rendezvousOf } from './rendezvous.js'
import { postWarden } from './warden.js'
import { Silence } from './watchdog.js'

const LOOK_EVERY_MS = 200
/** Minimum time before the first output or heartbeat of a script: imports are slow. */
const START_SECONDS = 120
/** Time for the ranks to write their stacks. */
const STACKS_MS = 1500

/** Runs users' own scripts under torchrun. */
export const scriptRunner: ScriptRunner = { start: startScript, hasBegun: hasRankLogs, lock: lockDirectory }

async function startScript(spec: ScriptSpec): Promise<ScriptAttempt> {
  const { processesPerNode, nodeRank, logDirectory, runId } = spec
  const python = resolvePython({ explicit: spec.python ?? undefined })
  const ranks = Array.from({ length: processesPerNode }, (_, at) => nodeRank * processesPerNode + at)
  const network = await networkOf(spec.rendezvous)
  const logs = await openRankLogs(logDirectory, nodeRank, ranks, spec.onOutput)
  await clearFailures(logDirectory, nodeRank)
  const oomKillsBefore = await oomKills()
  const store = spec.rendezvous === null ? await makeTemporaryFolder('freetumor-store-') : null
  const sendWardenHome = postWarden(python, runId)
  const tidy = async (): Promise<void> => {
    sendWardenHome()
    if (store !== null) await rm(store, { recursive: true, force: true })
  }
  const process = await startRanks({
    argv: scriptArgv(python, spec),
    environment: {
      ...network,
      ...environmentOf(spec),
      ...(store === null ? {} : { FREETUMOR_STORE: join(store, RANK_STORE) }),
    },
    logDirectory,
    runId,
    cwd: spec.cwd,
    node: nodeRank,
  }).catch(async (error: unknown) => {
    await tidy()
    throw typedSystemError(error, logDirectory)
  })
  const attempt = new Attempt(spec, process, logs)
  const explain = (end: ProcessEnd): Promise<FreetumorError> =>
    explainFailure({ logDirectory, node: nodeRank, end, oomKillsBefore, recorded: logs.failures() })
  return {
    pid: process.pid,
    ended: attempt.follow(explain).finally(tidy),
    stop: () => void attempt.stop(),
  }
}

async function startRanks(launch: ProcessLaunch): Promise<RuntimeProcess> {
  return startProcess(launch)
}

/** Return the command line of torchrun for a script: every rank starts as launcher/rank.py and becomes the script. */
function scriptArgv(python: string, spec: ScriptSpec): string[] {
  const program = spec.module ? ['-m', spec.script] : [spec.script]
  const { nodes, nodeRank, rendezvous, hangSeconds } = spec
  const place = rendezvous === null ? undefined : { nodes, nodeRank, rendezvous }
  const started = [literally(join(LAUNCHER, 'rank.py')), ...program, ...spec.args]
  return torchrunArgv({
    python,
    ranks: spec.processesPerNode,
    logDirectory: spec.logDirectory,
    program: started,
    rendezvous: rendezvousOf(place, hangSeconds),
    tcpStore: true,
  })
}

function environmentOf(spec: ScriptSpec): Record<string, string> {
  return {
    // SIGABRT ends a hang: with this variable, Python then writes the stacks of its threads
    PYTHONFAULTHANDLER: '1',
    ...scriptEnvironment({ threads: spec.threads }),
    ...spec.environment,
    TORCH_ELASTIC_SHUTDOWN_TIMEOUT: String(Math.max(0, Math.round(spec.stopSeconds))),
    FREETUMOR_LOG_DIRECTORY: spec.logDirectory,
    FREETUMOR_FAILURES: failureFolder(spec.logDirectory, spec.nodeRank),
    FREETUMOR_ATTEMPT: String(spec.attempt),
    ...(spec.heartbeat === null ? {} : { FREETUMOR_HEARTBEAT: spec.heartbeat }),
  }
}

/** An attempt: from the start of the ranks to the end of their last process. */
class Attempt {
  #stopping = false
  readonly #silence = new Silence(LOOK_EVERY_MS)
  #begun = false
  #beat: number | null = null

  constructor(
    private readonly spec: ScriptSpec,
    private readonly process: RuntimeProcess,
    private readonly logs: RankLogs,
  ) {}

  /** Wait for the end: resolve if all ranks succeeded, reject with the error that ended them. No process is left then. */
  async follow(explain: (end: ProcessEnd) => Promise<FreetumorError>): Promise<void> {
    let hung: number | null = null
    // no race with `ended`: that promise would keep a reaction of every check for hours
    const over = new AbortController()
    void this.process.ended.then(() => over.abort())
    while (!over.signal.aborted && hung === null) {
      await setTimeout(LOOK_EVERY_MS, undefined, { signal: over.signal }).catch(() => {})
      hung = await this.#look()
    }
    const ranks = hung === null ? [] : await this.process.dumpStacks('SIGABRT')
    if (hung !== null) await setTimeout(STACKS_MS)
    await this.process.kill()
    await this.logs.close()
    const how = await this.process.ended
    const { logDirectory, nodeRank: node } = this.spec
    const setting = 'hangSeconds (--hang-seconds)'
    if (hung !== null)
      throw await explainHang({ seconds: hung, logDirectory, node, end: how, ranks, setting })
    if (how.code !== 0) throw await explain(how)
  }

  async stop(): Promise<void> {
    if (this.#stopping) return
    this.#stopping = true
    this.process.terminate()
    // torchrun itself gives its ranks `stopSeconds`; a torchrun without an answer is killed with them
    const grace = (this.spec.stopSeconds + 5) * 1000
    const unanswered = setTimeout(grace, true, { ref: false })
    if (await Promise.race([unanswered, this.process.ended])) await this.process.kill()
  }

  /** Forward new output; return the limit if neither output nor a heartbeat came within it. */
  async #look(): Promise<number | null> {
    const { hangSeconds, heartbeat } = this.spec
    const wrote = await this.logs.read()
    const sign = heartbeat === null ? wrote : await this.#beats(heartbeat)
    const silent = this.#silence.seconds()
    if (sign) this.#silence.end()
    this.#begun ||= sign
    if (hangSeconds === null || this.#stopping) return null
    const limit = this.#begun ? hangSeconds : Math.max(hangSeconds, START_SECONDS)
    return !sign && silent > limit ? limit : null
  }

  async #beats(heartbeat: string): Promise<boolean> {
    const touched = await stat(heartbeat).then(
      ({ mtimeMs }) => mtimeMs,
      () => 0,
    )
    // the file of an earlier attempt is no heartbeat
    const beats = this.#beat !== null && touched !== this.#beat
    this.#beat = touched
    return beats
  }
}
